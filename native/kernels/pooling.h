#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// max_pool2d_with_indices, and the scatter_add along rows that its backward becomes at export.
std::vector<Kernel> pooling_kernels();

}  // namespace edgetrain::kernels
