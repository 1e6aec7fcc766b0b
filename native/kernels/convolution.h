#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// convolution and convolution_backward, of 1-D and 2-D data, not transposed.
std::vector<Kernel> convolution_kernels();

}  // namespace edgetrain::kernels
