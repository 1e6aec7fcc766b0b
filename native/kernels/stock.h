// The kernels that come with ExecuTorch: one library, larger than all the rest, loaded when it is needed.
#pragma once

#include <executorch/runtime/kernel/operator_registry.h>

#include <string>
#include <vector>

namespace edgetrain::kernels {

/// Registers ExecuTorch's kernels, unless they are already.
/// @param problem where that fails: half a sentence on how to get them
/// @returns whether they are registered
bool load_stock_kernels(std::string& problem);

/// The runtime's own kernel of an operator, for a call that ours does not cover. Null where there is none.
executorch::ET_RUNTIME_NAMESPACE::OpFunction stock_kernel(const char* name);

/// The operators stock_kernel was asked for.
const std::vector<std::string>& uncovered_operators();
/// Why it had none to give; empty where it always had.
const std::string& stock_problem();

}  // namespace edgetrain::kernels
