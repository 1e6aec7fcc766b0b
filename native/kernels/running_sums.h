#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// cumsum.
std::vector<Kernel> running_sum_kernels();

}  // namespace edgetrain::kernels
