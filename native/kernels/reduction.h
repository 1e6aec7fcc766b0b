#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// sum, mean, amax, amin, any and all over any dimensions.
std::vector<Kernel> reduction_kernels();

}  // namespace edgetrain::kernels
