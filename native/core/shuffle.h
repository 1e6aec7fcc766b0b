#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace edgetrain {

/// The order in which an epoch visits `count` samples: a function of seed and epoch alone. It is the order
/// edgetrain's other runtimes use (torch.randperm with their generator), so that all of them can be given the
/// same batches.
std::vector<uint32_t> shuffled_order(size_t count, uint64_t seed, uint64_t epoch);

}  // namespace edgetrain
