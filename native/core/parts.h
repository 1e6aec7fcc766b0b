#pragma once

#include <functional>

#include "edgetrain/contract.h"
#include "edgetrain/program.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// Calls `run` for a batch in parts of as many samples as the program takes, in order; once with all of it
/// where the program doesn't split batches. The parts refer to the batch's memory.
Status for_each_part(const Contract& contract, const Batch& batch,
                     const std::function<Status(const Batch&)>& run);

}  // namespace edgetrain
