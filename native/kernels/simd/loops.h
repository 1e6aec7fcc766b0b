// Loops over elements, in parallel where that pays.
#pragma once

#include "../compute.h"
#include "math.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

/// Fewer elements are done sooner than threads are woken.
constexpr int64_t kWorthThreads = 32768;

/// f(begin, end) for parts of [0, count).
template <class Function>
void over(int64_t count, const Function& f) {
  constexpr int64_t kPart = 8192;
  if (count < kWorthThreads) return f(0, count);
  parallel(divide_up(count, kPart),
           [&](int64_t begin, int64_t end) { f(begin * kPart, min(count, end * kPart)); });
}

/// f(offsets, count) for the runs of the innermost loop, or parts of it.
template <int kOperands, class Function>
void over_rows(const Loop<kOperands>* loops, int64_t depth, const Function& f) {
  const Loop<kOperands>& inner = loops[depth - 1];
  int64_t rows = 1;
  for (int64_t d = 0; d + 1 < depth; ++d) rows *= loops[d].size;
  if (rows * inner.size == 0) return;
  if (rows == 1) {
    return over(inner.size, [&](int64_t begin, int64_t end) {
      int64_t at[kOperands];
      for (int k = 0; k < kOperands; ++k) at[k] = begin * inner.step[k];
      f(at, end - begin);
    });
  }
  const auto range = [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      int64_t at[kOperands] = {}, rest = row;
      for (int64_t d = depth - 1; d-- > 0;) {
        const int64_t place = d == 0 ? rest : rest % loops[d].size;
        if (d > 0) rest /= loops[d].size;
        for (int k = 0; k < kOperands; ++k) at[k] += place * loops[d].step[k];
      }
      f(at, inner.size);
    }
  };
  if (rows * inner.size < kWorthThreads) return range(0, rows);
  parallel(rows, range);
}

/// to[i] = f(from[i])
template <class Function>
inline void transform(const float* from, int64_t count, float* to, const Function& f) {
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) store(to + i, f(load(from + i)));
  if (i < count) store_some(to + i, f(load_some(from + i, count - i)), count - i);
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
