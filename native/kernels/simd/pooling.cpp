#include "functions.h"
#include "vector.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

/// Vectors of a row of that many windows.
template <int kLanes>
struct Row {
  typedef float Values __attribute__((vector_size(kLanes * 4)));
  typedef int32_t Indices __attribute__((vector_size(kLanes * 4)));

  Values value;
  Indices index;

  static Values read(const float* from) {
    Values values;
    __builtin_memcpy(&values, from, sizeof(values));
    return values;
  }
  template <int kFirst, size_t... kLane>
  static Values every_second(Values a, Values b, std::index_sequence<kLane...>) {
    return __builtin_shufflevector(a, b, static_cast<int>(2 * kLane + kFirst)...);
  }
  /// The next value wins where it is larger, or NaN.
  void meet(Values next, Indices next_index) {
    const Indices wins = (next > value) | (next != next);
    value = wins ? next : value;
    index = wins ? next_index : index;
  }
};

/// kLanes windows of 2 x 2 beside each other, from `at` on.
template <int kLanes>
inline void pool_2x2(const float* plane, int64_t width, int64_t at, float* output, int64_t* indices) {
  using R = Row<kLanes>;
  constexpr auto kEach = std::make_index_sequence<kLanes>();
  const float *top = plane + at, *bottom = top + width;
  const auto top_a = R::read(top), top_b = R::read(top + kLanes);
  const auto bottom_a = R::read(bottom), bottom_b = R::read(bottom + kLanes);
  typename R::Indices index;
  for (int i = 0; i < kLanes; ++i) index[i] = static_cast<int32_t>(at + 2 * i);
  R best = {R::template every_second<0>(top_a, top_b, kEach), index};
  best.meet(R::template every_second<1>(top_a, top_b, kEach), index + 1);
  best.meet(R::template every_second<0>(bottom_a, bottom_b, kEach), index + static_cast<int32_t>(width));
  best.meet(R::template every_second<1>(bottom_a, bottom_b, kEach), index + static_cast<int32_t>(width + 1));
  __builtin_memcpy(output, &best.value, sizeof(best.value));
  for (int i = 0; i < kLanes; ++i) indices[i] = best.index[i];
}

/// As many windows of a row as fill vectors.
template <int kLanes>
inline int64_t pool_row(const float* plane, int64_t width, int64_t y, int64_t x, int64_t count, float* output,
                        int64_t* indices) {
  for (; x + kLanes <= count; x += kLanes) {
    pool_2x2<kLanes>(plane, width, 2 * y * width + 2 * x, output + x, indices + x);
  }
  if constexpr (kLanes > 4) return pool_row<kLanes / 2>(plane, width, y, x, count, output, indices);
  return x;
}

void pool_window(const MaxPool& p, const float* plane, int64_t y, int64_t x, float* output, int64_t* index) {
  const int64_t top = y * p.stride_y - p.padding_y, left = x * p.stride_x - p.padding_x;
  float best = -__builtin_inff();
  int64_t best_index = -1;
  for (int64_t i = 0; i < p.kernel_y; ++i) {
    const int64_t row = top + i * p.dilation_y;
    if (row < 0 || row >= p.height) continue;
    for (int64_t j = 0; j < p.kernel_x; ++j) {
      const int64_t column = left + j * p.dilation_x;
      if (column < 0 || column >= p.width) continue;
      const float value = plane[row * p.width + column];
      if (best_index < 0 || value > best || value != value) {
        best = value;
        best_index = row * p.width + column;
      }
    }
  }
  *output = best;
  *index = best_index;
}

}  // namespace

void max_pool(const MaxPool& p, const float* input, float* output, int64_t* indices) {
  const bool halves = p.kernel_y == 2 && p.kernel_x == 2 && p.stride_y == 2 && p.stride_x == 2 &&
                      p.padding_y == 0 && p.padding_x == 0 && p.dilation_y == 1 && p.dilation_x == 1 &&
                      2 * p.out_height <= p.height && 2 * p.out_width <= p.width;
  parallel(p.planes, [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) {
      const float* from = input + plane * p.height * p.width;
      for (int64_t y = 0; y < p.out_height; ++y) {
        float* to = output + (plane * p.out_height + y) * p.out_width;
        int64_t* index = indices + (plane * p.out_height + y) * p.out_width;
        int64_t x = 0;
        if (halves) x = pool_row<kWidth>(from, p.width, y, 0, p.out_width, to, index);
        for (; x < p.out_width; ++x) pool_window(p, from, y, x, to + x, index + x);
      }
    }
  });
}

void scatter_add(const float* from, const int64_t* index, int64_t rows, int64_t count, float* to,
                 int64_t to_row) {
  parallel(rows, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      for (int64_t i = row * count; i < (row + 1) * count; ++i) to[row * to_row + index[i]] += from[i];
    }
  });
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
