#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// sum and mean of float32, over neighbouring dimensions or all but the channels.
std::vector<Kernel> reduction_kernels();

}  // namespace edgetrain::kernels
