#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// max_pool2d_with_indices and avg_pool2d, of float32.
std::vector<Kernel> pooling_kernels();

}  // namespace edgetrain::kernels
