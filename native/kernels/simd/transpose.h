#pragma once

#include "vector.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

/// to[c * to_row + r] = from[r * from_row + c], or += with kAdd.
template <bool kAdd = false>
void transpose(const float* from, int64_t from_row, float* to, int64_t to_row, int64_t rows, int64_t columns);

/// The same, few lines of the result at a time: for those that lie far apart, where a cache has room for few.
template <bool kAdd = false>
inline void transpose_apart(const float* from, int64_t from_row, float* to, int64_t to_row, int64_t rows,
                            int64_t columns) {
  for (int64_t c = 0; c < columns; c += kSquare) {
    transpose<kAdd>(from + c, from_row, to + c * to_row, to_row, rows, min<int64_t>(kSquare, columns - c));
  }
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
