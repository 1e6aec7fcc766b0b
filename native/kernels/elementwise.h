#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// add, sub, mul, div, relu, le with a number, where and copies, of float32.
std::vector<Kernel> elementwise_kernels();

}  // namespace edgetrain::kernels
