#pragma once

#include "boxed.h"

namespace edgetrain::kernels {

/// All kernels of this folder.
std::vector<Kernel> fast_kernels();

}  // namespace edgetrain::kernels
