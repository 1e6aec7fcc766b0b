#pragma once

#include <executorch/runtime/kernel/operator_registry.h>

#include <vector>

namespace edgetrain {

/// All kernels the runtime has registered, with ours in place of
///  - aten::max_pool2d_with_indices_backward, which in executorch 1.5 adds into a gradient it never zeroes,
///  - aten::native_dropout, which there is seeded at random on every call.
std::vector<executorch::ET_RUNTIME_NAMESPACE::Kernel> kernel_table();

/// The kernel of dropout.h, boxed: (input, p, train?) → (out, mask).
void native_dropout_kernel(executorch::ET_RUNTIME_NAMESPACE::KernelRuntimeContext& context,
                           executorch::runtime::Span<executorch::runtime::EValue*> stack);

}  // namespace edgetrain
