#pragma once

#include "edgetrain/result.h"

namespace edgetrain::kernels {

/// Loads one of ExecuTorch's libraries, for good, from where the runtime's others lie. The failure is half a
/// sentence on how to get it.
Result<void*> load_library(const char* name);

}  // namespace edgetrain::kernels
