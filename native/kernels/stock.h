// The kernels that come with ExecuTorch: one library, larger than all the rest, loaded when it is needed.
#pragma once

#include <executorch/runtime/kernel/operator_registry.h>

#include <string>
#include <vector>

#include "edgetrain/result.h"

namespace edgetrain::kernels {

/// Registers ExecuTorch's kernels, unless they are already. The failure is half a sentence on how to get
/// them.
Status load_stock_kernels();

/// The runtime's own kernel of an operator, for a call that ours does not cover. Null where there is none.
executorch::ET_RUNTIME_NAMESPACE::OpFunction stock_kernel(const char* name);

/// The operators stock_kernel was asked for, and the failure where it had none to give.
const std::vector<std::string>& uncovered_operators();
const Status& stock_status();

}  // namespace edgetrain::kernels
