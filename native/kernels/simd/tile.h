// The inner loop of GEMM and of convolutions: a few rows, whose elements are broadcast from wherever they
// lie, times a panel of kPanel columns.
#pragma once

#include "vector.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

constexpr int kPanel = 2 * kWidth;
/// Sums of kTileRows x 2 vectors stay in registers.
constexpr int kTileRows = kRegisters >= 32 ? 8 : EDGETRAIN_ISA_FMA ? 6 : 4;

/// Where the k-th element of a row lies: at a multiple of a stride, or in a table.
struct Steps {
  int64_t step;
  int64_t operator()(int64_t k) const { return k * step; }
};
struct Offsets {
  const int32_t* table;
  int64_t operator()(int64_t k) const { return table[k]; }
};

template <int kRows, int kVectors>
struct Sums {
  Vector v[kRows][kVectors];
};

/// sums[i] = sum over k of rows[i][at(k)] * panel[k]
template <int kRows, int kVectors, class At>
inline __attribute__((always_inline)) Sums<kRows, kVectors> multiply(const float* const* rows, At at,
                                                                     int64_t depth, const float* panel,
                                                                     int64_t panel_row) {
  Sums<kRows, kVectors> sums = {};
  const float* row[kRows];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) row[i] = rows[i];
  for (int64_t k = 0; k < depth; ++k, panel += panel_row) {
    const int64_t offset = at(k);
    Vector b[kVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) b[j] = load(panel + j * kWidth);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const Vector a = splat(row[i][offset]);
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) sums.v[i][j] += a * b[j];
    }
  }
  return sums;
}

/// A number as a type.
template <int kValue>
struct Constant {
  constexpr int operator()() const { return kValue; }
};

/// Calls f with the number of rows, 1 to kTileRows, as a constant.
template <int kRows = kTileRows, class Function>
inline void with_rows(int64_t rows, const Function& f) {
  if (rows == kRows) {
    f(Constant<kRows>());
  } else if constexpr (kRows > 1) {
    with_rows<kRows - 1>(rows, f);
  }
}

/// Calls f with the number of vectors that hold columns, 1 or 2, as a constant.
template <class Function>
inline void with_vectors(int64_t columns, const Function& f) {
  if (columns > kWidth) {
    f(Constant<2>());
  } else {
    f(Constant<1>());
  }
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
