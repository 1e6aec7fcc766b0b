#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

constexpr char kMaxPoolBackward[] = "aten::max_pool2d_with_indices_backward.grad_input";

/// max_pool2d_with_indices_backward: (grad_output, self, kernel_size, stride, padding, dilation, ceil_mode,
/// indices) → grad_input. That of executorch 1.5 adds into a gradient it never zeroes.
std::vector<Kernel> max_pool_backward_kernels();

}  // namespace edgetrain::kernels
