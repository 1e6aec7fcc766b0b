#pragma once

#include <executorch/runtime/core/event_tracer_hooks.h>
#include <executorch/runtime/kernel/operator_registry.h>

#include <vector>

namespace edgetrain {

/// All kernels the runtime has registered, with ours in place of
///  - aten::max_pool2d_with_indices_backward, which in executorch 1.5 adds into a gradient it never zeroes,
///  - aten::native_dropout, which there is seeded at random on every call,
///  - those of native/kernels, which are faster and leave calls they don't cover to the stock ones.
std::vector<executorch::ET_RUNTIME_NAMESPACE::Kernel> kernel_table();

/// How the events of our kernels in a profile begin, after which comes the operator's name.
constexpr char kKernelEvent[] = "edgetrain_call_";

/// Every kernel of ours opens one: KernelScope scope(context.internal_event_tracer(), "edgetrain_call_NAME").
using KernelScope = executorch::runtime::internal::EventTracerProfileOpScope;

/// The kernel of dropout.h, boxed: (input, p, train?) → (out, mask).
void native_dropout_kernel(executorch::ET_RUNTIME_NAMESPACE::KernelRuntimeContext& context,
                           executorch::runtime::Span<executorch::runtime::EValue*> stack);

}  // namespace edgetrain
