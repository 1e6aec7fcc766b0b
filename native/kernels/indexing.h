#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// gather, scatter, index_select, embedding and argmax.
std::vector<Kernel> indexing_kernels();

}  // namespace edgetrain::kernels
