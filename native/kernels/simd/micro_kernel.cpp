#include "micro_kernel.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

/// kRows rows, at most kMR, times kVectors vectors of the panel's columns.
template <int kRows, int kVectors, class At>
void micro_kernel(const Product& product, At at, int64_t first) {
  const float* row[kRows];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) row[i] = product.rows[first + i];
  const int64_t depth = product.depth, panel_row = product.panel_row;
  for (int64_t point = 0; point < product.points.count; ++point) {
    const float* panel = product.panel + point * product.points.panel;
    Vector sums[kRows][kVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) {
      const Vector start = product.start != nullptr ? load(product.start + j * kWidth) : Vector{};
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) sums[i][j] = start;
    }
    for (int64_t k = 0; k < depth; ++k, panel += panel_row) {
      const int64_t offset = at(k);
      Vector b[kVectors];
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) b[j] = load(panel + j * kWidth);
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) {
        const Vector a = splat(row[i][offset]);
#pragma GCC unroll 2
        for (int j = 0; j < kVectors; ++j) sums[i][j] += a * b[j];
      }
    }
    float* result = product.result + first * product.result_row + point * product.points.result;
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      row[i] += product.points.row;
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) store(result + i * product.result_row + j * kWidth, sums[i][j]);
    }
  }
}

/// By a micro-kernel for every number of rows and of vectors that hold columns.
template <class At, size_t... kRows>
void multiply_rows(const Product& product, At at, std::index_sequence<kRows...>) {
  using MicroKernel = void (*)(const Product& product, At at, int64_t first);
  static constexpr MicroKernel kMicroKernels[2][kMR] = {{micro_kernel<kRows + 1, 1, At>...},
                                                        {micro_kernel<kRows + 1, 2, At>...}};
  for (int64_t first = 0; first < product.row_count; first += kMR) {
    const int64_t rows = min<int64_t>(kMR, product.row_count - first);
    kMicroKernels[product.columns > kWidth ? 1 : 0][rows - 1](product, at, first);
  }
}

}  // namespace

void multiply(const Product& product, Steps at) {
  multiply_rows(product, at, std::make_index_sequence<kMR>());
}
void multiply(const Product& product, Offsets at) {
  multiply_rows(product, at, std::make_index_sequence<kMR>());
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
