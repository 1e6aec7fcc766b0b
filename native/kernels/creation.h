#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// full, zeros, ones, arange and their like, and copies of another type, for elements of any type.
std::vector<Kernel> creation_kernels();

}  // namespace edgetrain::kernels
