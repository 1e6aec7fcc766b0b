#pragma once

#include "edgetrain/arguments.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// Runs the command the arguments name.
Status run_command(Arguments& arguments);

}  // namespace edgetrain
