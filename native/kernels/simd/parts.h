// Images in parts, each of which one thread goes through alone: moving data from core to core costs more than
// arithmetic.
#pragma once

#include "vector.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

/// to[i] += from[i]
void add_to(float* to, const float* from, int64_t count);

/// f(part, begin, end) for equal parts of [0, count), each on one thread.
template <class Function>
inline void in_parts(int64_t count, int64_t parts, const Function& f) {
  parallel(parts, [&](int64_t first, int64_t last) {
    for (int64_t part = first; part < last; ++part) f(part, part * count / parts, (part + 1) * count / parts);
  });
}

/// A weight's gradient as the sum of parts of the batch. As many for any number of threads, so that results
/// are the same.
struct Parts {
  int64_t count;
  bool apart;  // each on a thread of its own

  /// @param values read and written besides the sums
  Parts(int64_t images, int64_t weights, int64_t values) {
    count = 1;
    while (2 * count <= min(kMostParts, images) && 2 * count * weights <= min(values, 2 * kMostPartWeights))
      count *= 2;
    apart = count > 1 && thread_count() > 1;
  }
  /// Parts for which there is memory at a time.
  int64_t slots() const { return apart ? count : 1; }
  int64_t begin(int64_t part, int64_t images) const { return part * images / count; }

  /// add(part, slot, sums) writes the sums of a part.
  /// @param sums [count - 1][weights]
  template <class Add>
  void sum(int64_t weights, float* sums, float* result, const Add& add) const {
    const auto target = [&](int64_t part) { return part == 0 ? result : sums + (part - 1) * weights; };
    if (apart) {
      parallel(count, [&](int64_t first, int64_t last) {
        for (int64_t part = first; part < last; ++part) add(part, part, target(part));
      });
    } else {
      for (int64_t part = 0; part < count; ++part) add(part, int64_t{0}, target(part));
    }
    for (int64_t part = 1; part < count; ++part) add_to(result, target(part), weights);
  }
};

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
