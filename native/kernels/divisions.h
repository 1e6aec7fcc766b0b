#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// Divisions that round: div with a mode, floor_divide.
std::vector<Kernel> division_kernels();

}  // namespace edgetrain::kernels
