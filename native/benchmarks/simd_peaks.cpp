#include "simd_peaks.h"

#include "../kernels/simd/micro_kernel.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

/// Keeps the compiler from knowing the value, and so from computing a product only once.
inline void forget(Vector& value) {
#if defined(__aarch64__)
  asm volatile("" : "+w"(value));
#else
  asm volatile("" : "+v"(value));
#endif
}

float multiply_add(int64_t steps) {
  Vector sums[kMR][2], a = splat(1e-3F), b[2] = {splat(0.5F), splat(0.25F)};
  for (int i = 0; i < kMR; ++i) {
    for (int j = 0; j < 2; ++j) sums[i][j] = splat(static_cast<float>(2 * i + j));
  }
  for (int64_t k = 0; k < steps; ++k) {
#pragma GCC unroll 8
    for (int i = 0; i < kMR; ++i) {
      forget(a);
#pragma GCC unroll 2
      for (int j = 0; j < 2; ++j) sums[i][j] += a * b[j];
    }
  }
  Vector all = {};
  for (int i = 0; i < kMR; ++i) all += sums[i][0] + sums[i][1];
  return sum_of(all);
}

void triad(float* a, const float* b, const float* c, int64_t count) {
  for (int64_t i = 0; i + kWidth <= count; i += kWidth) store(a + i, load(b + i) + 3.0F * load(c + i));
}

}  // namespace

extern const Peaks kPeaks;
const Peaks kPeaks = {multiply_add, int64_t{kMR} * 2 * kWidth * 2, triad};

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
