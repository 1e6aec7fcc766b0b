#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// index and index_put: elements at places that tensors of indices name together, in neighbouring dimensions.
std::vector<Kernel> index_tensor_kernels();

}  // namespace edgetrain::kernels
