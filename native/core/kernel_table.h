#pragma once

#include <executorch/runtime/kernel/operator_registry.h>

#include <string>
#include <vector>

#include "edgetrain/result.h"
#include "operator_calls.h"

namespace edgetrain {

/// The kernels of a program.
struct KernelTable {
  std::vector<executorch::ET_RUNTIME_NAMESPACE::Kernel> kernels;
  /// Operators that only ExecuTorch's library of kernels has, which was loaded for them.
  std::vector<std::string> stock;
};

/// All kernels the runtime has registered, with ours in place of
///  - aten::max_pool2d_with_indices_backward, which in executorch 1.5 adds into a gradient it never zeroes,
///  - aten::native_dropout, rand and randn, which there are seeded at random on every call,
///  - those of native/kernels, which are faster and leave calls they don't cover to the stock ones.
/// @param calls what the program asks for
Result<KernelTable> kernel_table(const std::vector<OperatorCall>& calls);

}  // namespace edgetrain
