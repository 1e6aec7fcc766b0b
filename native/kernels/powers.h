#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// pow with exponents in a tensor.
std::vector<Kernel> power_kernels();

}  // namespace edgetrain::kernels
