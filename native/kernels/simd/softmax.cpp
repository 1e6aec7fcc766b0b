#include "functions.h"
#include "loops.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

/// Some elements, and -infinity, which adds nothing.
Vector load_row(const float* from, int64_t count) {
  if (count >= kWidth) return load(from);
  float parts[kWidth];
  for (int i = 0; i < kWidth; ++i) parts[i] = i < count ? from[i] : -__builtin_inff();
  return load(parts);
}
void store_row(float* to, Vector value, int64_t count) {
  count >= kWidth ? store(to, value) : store_some(to, value, count);
}

float largest(Vector v) {
  float parts[kWidth];
  store(parts, v);
  float best = parts[0];
  for (int i = 1; i < kWidth; ++i) best = parts[i] > best || parts[i] != parts[i] ? parts[i] : best;
  return best;
}

template <bool kLog>
void softmax_row(const float* from, int64_t count, float* to) {
  Vector best = splat(-__builtin_inff());
  for (int64_t i = 0; i < count; i += kWidth) best = maximum(load_row(from + i, count - i), best);
  const Vector top = splat(largest(best));
  Vector sum = {};
  for (int64_t i = 0; i < count; i += kWidth) {
    const Vector power = exponential(load_row(from + i, count - i) - top);
    sum += power;
    if constexpr (!kLog) store_row(to + i, power, count - i);
  }
  const Vector total = splat(sum_of(sum));
  const Vector shift = logarithm(total), scale = 1.0F / total;
  for (int64_t i = 0; i < count; i += kWidth) {
    if constexpr (kLog) {
      store_row(to + i, load_row(from + i, count - i) - top - shift, count - i);
    } else {
      store_row(to + i, load_row(to + i, count - i) * scale, count - i);
    }
  }
}

/// The same for as many columns as fill a vector.
void softmax_columns(bool log, const float* from, int64_t count, int64_t step, int64_t columns, float* to) {
  Vector best = splat(-__builtin_inff()), sum = {};
  for (int64_t i = 0; i < count; ++i) best = maximum(load_row(from + i * step, columns), best);
  for (int64_t i = 0; i < count; ++i) sum += exponential(load_row(from + i * step, columns) - best);
  const Vector shift = logarithm(sum), scale = 1.0F / sum;
  for (int64_t i = 0; i < count; ++i) {
    const Vector below = load_row(from + i * step, columns) - best;
    store_row(to + i * step, log ? below - shift : exponential(below) * scale, columns);
  }
}

}  // namespace

void softmax(bool log, const float* from, int64_t outer, int64_t count, int64_t inner, float* to) {
  const int64_t parts = inner == 1 ? 1 : divide_up(inner, kWidth);
  const auto range = [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t column = task % parts * kWidth, at = task / parts * count * inner + column;
      if (inner == 1) {
        (log ? softmax_row<true> : softmax_row<false>)(from + at, count, to + at);
      } else {
        softmax_columns(log, from + at, count, inner, inner - column, to + at);
      }
    }
  };
  if (outer * count * inner < kSoftmaxWorthThreads) return range(0, outer * parts);
  parallel(outer * parts, range);
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
