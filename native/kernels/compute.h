#pragma once

#include <cstdint>

namespace edgetrain::kernels {

/// c = alpha * a b (+ bias of each column) (+ c), float32. Strides count elements.
struct Gemm {
  int64_t m, n, k;
  const float* a;
  int64_t a_row, a_column;
  const float* b;
  int64_t b_row, b_column;
  float* c;
  int64_t c_row;
  const float* bias;  // [n], or null
  float alpha;
  bool accumulate;
};

/// The arithmetic of all kernels, compiled once per instruction set.
struct Compute {
  void (*gemm)(const Gemm& gemm);
};

}  // namespace edgetrain::kernels
