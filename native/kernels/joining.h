#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// cat, stack, split_copy, split_with_sizes_copy and unbind_copy, for elements of any type.
std::vector<Kernel> joining_kernels();

}  // namespace edgetrain::kernels
