#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// mm, addmm, bmm and linear.
std::vector<Kernel> matmul_kernels();

}  // namespace edgetrain::kernels
