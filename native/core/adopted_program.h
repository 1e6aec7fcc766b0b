#pragma once

#include <executorch/extension/module/module.h>

#include "edgetrain/contract.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// A contract for a program of ExecuTorch's own exporter, which comes without one: a method `forward` of
/// inputs and targets, and constants `__et_training_*` that say where its gradients and parameters lie. All
/// batches have the size it was exported with. It tells its loss and nothing else.
/// @param path of the program, for messages
Result<Contract> adopt_program(executorch::extension::Module& module, const std::string& path);

}  // namespace edgetrain
