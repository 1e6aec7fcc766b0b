#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// _softmax and _log_softmax of float32, along any dimension.
std::vector<Kernel> softmax_kernels();

}  // namespace edgetrain::kernels
