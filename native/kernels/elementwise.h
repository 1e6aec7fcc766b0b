#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// Arithmetic, comparisons and choices of two operands that are broadcast.
std::vector<Kernel> elementwise_kernels();

}  // namespace edgetrain::kernels
