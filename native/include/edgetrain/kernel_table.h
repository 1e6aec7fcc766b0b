#pragma once

#include <executorch/runtime/core/event_tracer_hooks.h>
#include <executorch/runtime/kernel/operator_registry.h>

#include <string>
#include <vector>

#include "edgetrain/operator_calls.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// The kernels of a program.
struct KernelTable {
  std::vector<executorch::ET_RUNTIME_NAMESPACE::Kernel> kernels;
  /// Operators that only ExecuTorch's library of kernels has, which was loaded for them.
  std::vector<std::string> stock;
};

/// All kernels the runtime has registered, with ours in place of
///  - aten::max_pool2d_with_indices_backward, which in executorch 1.5 adds into a gradient it never zeroes,
///  - aten::native_dropout, which there is seeded at random on every call,
///  - those of native/kernels, which are faster and leave calls they don't cover to the stock ones.
/// @param calls what the program asks for
Result<KernelTable> kernel_table(const std::vector<OperatorCall>& calls);

/// How the events of our kernels in a profile begin, after which comes the operator's name.
constexpr char kKernelEvent[] = "edgetrain_call_";

/// Every kernel of ours opens one: KernelScope scope(context.internal_event_tracer(), "edgetrain_call_NAME").
using KernelScope = executorch::runtime::internal::EventTracerProfileOpScope;

/// The kernel of dropout.h, boxed: (input, p, train?) → (out, mask).
void native_dropout_kernel(executorch::ET_RUNTIME_NAMESPACE::KernelRuntimeContext& context,
                           executorch::runtime::Span<executorch::runtime::EValue*> stack);

}  // namespace edgetrain
