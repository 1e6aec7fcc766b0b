#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// topk.
std::vector<Kernel> topk_kernels();

}  // namespace edgetrain::kernels
