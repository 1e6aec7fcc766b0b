// The inner loop of GEMM and of convolutions: kMR rows, whose elements are broadcast from wherever they lie,
// times a packed panel of kNR columns.
#pragma once

#include "vector.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

/// Where the k-th element of a row lies: at a multiple of a stride, or in a table.
struct Steps {
  int64_t step;
  int64_t operator()(int64_t k) const { return k * step; }
};
struct Offsets {
  const int32_t* table;
  int64_t operator()(int64_t k) const { return table[k]; }
};

/// Equal products at several points: how many, and how far apart their rows, panels and results are.
struct Points {
  int64_t count, row, panel, result;
};

/// Rows times a packed panel [depth, kNR], of which up to kNR columns count.
struct Product {
  const float* const* rows;
  int64_t row_count, columns, depth;
  const float* panel;
  int64_t panel_row;
  float* result;
  int64_t result_row;
  const float* start = nullptr;  // what sums of columns begin with, zero if null
  Points points = {1, 0, 0, 0};
};

/// result[i] = start + sum over k of rows[i][at(k)] * panel[k], in whole vectors, kMR rows at a time
void multiply(const Product& product, Steps at);
void multiply(const Product& product, Offsets at);

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
