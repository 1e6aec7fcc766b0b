#pragma once

#include <vector>

#include "boxed.h"

namespace edgetrain::kernels {

/// Tensors of which a part is written: slice_scatter, select_scatter, constant_pad_nd, copy.
std::vector<Kernel> part_write_kernels();

}  // namespace edgetrain::kernels
