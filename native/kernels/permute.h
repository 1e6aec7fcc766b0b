#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// permute_copy of float32.
std::vector<Kernel> permute_kernels();

}  // namespace edgetrain::kernels
