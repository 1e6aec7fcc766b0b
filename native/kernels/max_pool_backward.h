#pragma once

#include "boxed.h"

namespace edgetrain::kernels {

/// max_pool2d_with_indices_backward: (grad_output, self, kernel_size, stride, padding, dilation, ceil_mode,
/// indices) → grad_input. That of executorch 1.5 adds into a gradient it never zeroes.
Kernel max_pool_backward_kernel();

}  // namespace edgetrain::kernels
