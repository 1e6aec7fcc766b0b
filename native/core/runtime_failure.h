#pragma once

#include <executorch/runtime/core/error.h>

#include <string>

#include "edgetrain/result.h"

namespace edgetrain {

/// An ExecuTorch error in words: "`what`: InvalidArgument (what the runtime logged last)".
Failure runtime_failure(Exit exit, const std::string& what, executorch::runtime::Error error);

}  // namespace edgetrain
