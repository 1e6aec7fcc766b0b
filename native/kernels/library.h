#pragma once

#include <string>

namespace edgetrain::kernels {

/// Loads one of ExecuTorch's libraries, for good, from where the runtime's others lie.
/// @param problem where there is none: half a sentence on how to get it
/// @returns the library, or null
void* load_library(const char* name, std::string& problem);

}  // namespace edgetrain::kernels
