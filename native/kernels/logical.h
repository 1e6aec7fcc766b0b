#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// logical_and, bitwise_or and their like, of bools and integers.
std::vector<Kernel> logical_kernels();

}  // namespace edgetrain::kernels
