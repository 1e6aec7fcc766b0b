#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// LSTM, GRU and plain recurrent layers over all steps, and their gradients. The operators are edgetrain's
/// own.
std::vector<Kernel> recurrent_kernels();

}  // namespace edgetrain::kernels
