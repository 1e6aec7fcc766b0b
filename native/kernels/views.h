#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// Operators whose result has elements of the input in another shape or order: view_copy, permute_copy,
/// slice_copy, expand_copy, clone and their like, for elements of any type.
std::vector<Kernel> view_kernels();

}  // namespace edgetrain::kernels
