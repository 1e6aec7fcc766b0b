// Loops over elements, in parallel where that pays.
#pragma once

#include "../compute.h"
#include "math.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

/// f(begin, end) for parts of [0, count).
template <class Function>
void over(int64_t count, const Function& f) {
  parallel(
      divide_up(count, kTaskElements),
      [&](int64_t begin, int64_t end) { f(begin * kTaskElements, min(count, end * kTaskElements)); },
      count >= kWorthThreads);
}

/// f(offsets, count) for the runs of the innermost loop, or parts of it.
template <int kOperands, class Function>
void over_rows(const Loop<kOperands>* loops, int64_t depth, const Function& f) {
  const Loop<kOperands>& inner = loops[depth - 1];
  const int64_t parts = divide_up(inner.size, kTaskElements);
  int64_t tasks = parts;
  for (int64_t d = 0; d + 1 < depth; ++d) tasks *= loops[d].size;
  const auto range = [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      int64_t at[kOperands], rest = parts == 1 ? task : task / parts;
      const int64_t first = parts == 1 ? 0 : task % parts * kTaskElements;
      for (int k = 0; k < kOperands; ++k) at[k] = first * inner.step[k];
      for (int64_t d = depth - 1; d-- > 0;) {
        const int64_t place = d == 0 ? rest : rest % loops[d].size;
        if (d > 0) rest /= loops[d].size;
        for (int k = 0; k < kOperands; ++k) at[k] += place * loops[d].step[k];
      }
      f(at, min(kTaskElements, inner.size - first));
    }
  };
  parallel(tasks, range, tasks * min(kTaskElements, inner.size) >= kWorthThreads);
}

/// to[i] = f(from[i]) for whole vectors; how many elements that were.
template <class Function>
inline int64_t transform_vectors(const float* from, int64_t count, float* to, const Function& f) {
  int64_t i = 0;
  for (; i + kWidth <= count; i += kWidth) store(to + i, f(load(from + i)));
  return i;
}

/// to[i] = f(from[i])
template <class Function>
inline void transform(const float* from, int64_t count, float* to, const Function& f) {
  const int64_t i = transform_vectors(from, count, to, f);
  if (i < count) store_some(to + i, f(load_some(from + i, count - i)), count - i);
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
