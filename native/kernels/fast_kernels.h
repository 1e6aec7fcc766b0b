#pragma once

#include <string_view>
#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// The kernels of this folder that give what the stock ones give, faster.
std::vector<Kernel> fast_kernels();

/// Those that differ from the stock ones on purpose: dropout and other random numbers, and max-pool's
/// backward.
std::vector<Kernel> corrected_kernels();

/// Whether an operator is one of those, which no stock kernel may stand in for.
bool is_corrected(std::string_view name);

}  // namespace edgetrain::kernels
