#pragma once

#include "arguments.h"
#include "edgetrain/program.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// Finds out before the work that all files the command writes can be written, and that each is neither one
/// it reads nor another one it writes.
Status check_outputs(const Arguments& arguments, const Program& program);

/// What --profile asks for, if it does: the file and the table.
Status write_profile(const Arguments& arguments, const Program& program);

}  // namespace edgetrain
