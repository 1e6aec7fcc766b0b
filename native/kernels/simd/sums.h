#pragma once

#include "math.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

/// The sum of f(x) over a row, where f takes vectors and numbers. In blocks, whose sums are added: long sums
/// in one go would lose precision.
template <class Function>
inline float sum_row(const float* from, int64_t count, const Function& f) {
  float sum = 0;
  int64_t i = 0;
  while (i + kWidth <= count) {
    Vector sums[4] = {};
    const int64_t end = min(count, i + kSumVectors * kWidth);
    for (; i + 4 * kWidth <= end; i += 4 * kWidth) {
      for (int j = 0; j < 4; ++j) sums[j] += f(load(from + i + j * kWidth));
    }
    for (; i + kWidth <= end; i += kWidth) sums[0] += f(load(from + i));
    sum += sum_of(sums[0] + sums[1] + sums[2] + sums[3]);
  }
  float rest = 0;
  for (; i < count; ++i) rest += f(from[i]);
  return sum + rest;
}
inline float sum_row(const float* from, int64_t count) {
  return sum_row(from, count, [](auto x) { return x; });
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
