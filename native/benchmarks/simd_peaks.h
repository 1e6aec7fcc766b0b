#pragma once

#include <cstdint>

namespace edgetrain::kernels {

/// What an instruction set reaches where nothing but arithmetic, or nothing but memory, is in the way.
struct Peaks {
  /// The registers of the kernels' inner loop (micro_kernel.h), with no loads or stores.
  float (*multiply_add)(int64_t steps);
  int64_t operations;  // of a step, multiplications and additions
  /// a[i] = b[i] + 3 c[i]
  void (*triad)(float* a, const float* b, const float* c, int64_t count);
};

}  // namespace edgetrain::kernels
