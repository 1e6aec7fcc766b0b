#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

constexpr char kRand[] = "aten::rand.out", kRandn[] = "aten::randn.out";

/// rand and randn: (size) → out, from the same generator as dropout; the stock kernels are seeded at random
/// on every call.
std::vector<Kernel> random_kernels();

}  // namespace edgetrain::kernels
