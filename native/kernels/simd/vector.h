// Vectors of the instruction set this translation unit is compiled for. Everything that files in this folder
// define lies in EDGETRAIN_ISA's namespace, and they use no inline function from elsewhere: the linker would
// keep one of its versions for all processors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "../blocking.h"
#include "../parallel.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

typedef float Vector __attribute__((vector_size(kWidth * 4)));
typedef float UnalignedVector __attribute__((vector_size(kWidth * 4), aligned(4), may_alias));
typedef int32_t IntVector __attribute__((vector_size(kWidth * 4)));
typedef int32_t UnalignedIntVector __attribute__((vector_size(kWidth * 4), aligned(4), may_alias));

inline Vector load(const float* from) { return *reinterpret_cast<const UnalignedVector*>(from); }
inline void store(float* to, Vector value) { *reinterpret_cast<UnalignedVector*>(to) = value; }
/// Not a sum with zero, which is no copy of -0.
inline Vector splat(float value) { return value - Vector{}; }

template <class T>
inline T min(T a, T b) {
  return b < a ? b : a;
}
template <class T>
inline T max(T a, T b) {
  return a < b ? b : a;
}
constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// The sum of a vector's elements, halves first.
inline float sum_of(Vector v) {
  float parts[kWidth];
  store(parts, v);
  for (int half = kWidth / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) parts[i] += parts[i + half];
  }
  return parts[0];
}

/// f(begin, end) for parts of [0, count), in parallel where that pays.
template <class Function>
inline void parallel(int64_t count, const Function& f, bool pays = true) {
  run_parallel(
      count,
      [](const void* context, int64_t begin, int64_t end) {
        (*static_cast<const Function*>(context))(begin, end);
      },
      &f, pays);
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
