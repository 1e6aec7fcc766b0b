#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// Functions of one number: exp, tanh, relu and their like, and what is true of numbers.
std::vector<Kernel> unary_kernels();

}  // namespace edgetrain::kernels
