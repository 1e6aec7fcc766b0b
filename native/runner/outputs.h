#pragma once

#include <string>

#include "edgetrain/arguments.h"
#include "edgetrain/program.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// Finds out before the work that `path` can be written and is none of the files the command reads.
Status check_output(const Arguments& arguments, const Program& program, const std::string& path);

/// What --profile asks for, if it does: before the work, check_output(); after it, the file and the table.
Status check_profile(const Arguments& arguments, const Program& program);
Status write_profile(const Arguments& arguments, const Program& program);

}  // namespace edgetrain
