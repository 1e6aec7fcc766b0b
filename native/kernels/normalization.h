#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// native_layer_norm, native_group_norm, and batch norm with fixed statistics, of float32.
std::vector<Kernel> normalization_kernels();

}  // namespace edgetrain::kernels
