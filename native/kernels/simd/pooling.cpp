#include "functions.h"
#include "vector.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

/// As many windows beside each other, kStride apart.
template <int kLanes, int kStride>
struct Windows {
  typedef float Values __attribute__((vector_size(kLanes * 4)));
  typedef int32_t Indices __attribute__((vector_size(kLanes * 4)));

  Values value;
  Indices index;

  static Values read(const float* from) {
    Values values;
    __builtin_memcpy(&values, from, sizeof(values));
    return values;
  }
  /// One element of each window, and none beyond them.
  template <size_t... kLane>
  static Values each(const float* from, std::index_sequence<kLane...>) {
    if constexpr (kStride == 1) return read(from);
    return __builtin_shufflevector(read(from), read(from + kLanes - 1),
                                   static_cast<int>(2 * kLane < kLanes ? 2 * kLane : 2 * kLane + 1)...);
  }
  template <size_t... kLane>
  static Indices places(std::index_sequence<kLane...>) {
    return Indices{static_cast<int32_t>(kStride * kLane)...};
  }
  /// The next value wins where it is larger, or NaN.
  void meet(Values next, Indices next_index) {
    const Indices wins = (next > value) | (next != next);
    value = wins ? next : value;
    index = wins ? next_index : index;
  }
};

/// The windows from `x` on, none of which reaches beyond the sides of the image.
template <int kLanes, int kStride>
inline void max_of_windows(const Pool& p, const float* plane, int64_t y, int64_t x, float* output,
                           int64_t* indices) {
  using W = Windows<kLanes, kStride>;
  constexpr auto kEach = std::make_index_sequence<kLanes>();
  const int64_t top = y * p.stride_y - p.padding_y, left = x * kStride - p.padding_x;
  W best = {};
  bool found = false;
  for (int64_t i = 0; i < p.kernel_y; ++i) {
    const int64_t row = top + i * p.dilation_y;
    if (row < 0 || row >= p.height) continue;
    for (int64_t j = 0; j < p.kernel_x; ++j) {
      const int64_t at = row * p.width + left + j * p.dilation_x;
      const auto next = W::each(plane + at, kEach);
      const auto next_index = W::places(kEach) + static_cast<int32_t>(at);
      if (!found) best = {next, next_index};
      best.meet(next, next_index);
      found = true;
    }
  }
  __builtin_memcpy(output + x, &best.value, sizeof(best.value));
  for (int i = 0; i < kLanes; ++i) indices[x + i] = best.index[i];
}

/// The windows [begin, end) of a row, if there are enough to fill a vector; how far it came.
template <int kLanes, int kStride>
inline int64_t max_of_row(const Pool& p, const float* plane, int64_t y, int64_t begin, int64_t end,
                          float* output, int64_t* indices) {
  if (end - begin >= kLanes) {
    // The last vector may overlap the one before.
    for (int64_t x = begin; x < end; x += kLanes)
      max_of_windows<kLanes, kStride>(p, plane, y, min(x, end - kLanes), output, indices);
    return end;
  }
  if constexpr (kLanes > 4) return max_of_row<kLanes / 2, kStride>(p, plane, y, begin, end, output, indices);
  return begin;
}

void max_of_window(const Pool& p, const float* plane, int64_t y, int64_t x, float* output, int64_t* index) {
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

float mean_of_window(const Pool& p, bool count_padding, int64_t divisor, const float* plane, int64_t y,
                     int64_t x) {
  const int64_t top = y * p.stride_y - p.padding_y, left = x * p.stride_x - p.padding_x;
  const int64_t bottom = min(top + p.kernel_y, p.height + p.padding_y);
  const int64_t right = min(left + p.kernel_x, p.width + p.padding_x);
  const int64_t first_row = max(top, int64_t{0}), last_row = min(bottom, p.height);
  const int64_t first_column = max(left, int64_t{0}), last_column = min(right, p.width);
  float sum = 0;
  for (int64_t row = first_row; row < last_row; ++row) {
    for (int64_t column = first_column; column < last_column; ++column) sum += plane[row * p.width + column];
  }
  if (divisor == 0) {
    divisor = count_padding ? (bottom - top) * (right - left)
                            : (last_row - first_row) * (last_column - first_column);
  }
  return sum / static_cast<float>(divisor);
}

}  // namespace

void max_pool(const Pool& p, const float* input, float* output, int64_t* indices) {
  // Windows that do not reach beyond the sides of the image.
  const int64_t room = p.width - 1 + p.padding_x - (p.kernel_x - 1) * p.dilation_x;
  const int64_t begin = min(divide_up(p.padding_x, p.stride_x), p.out_width);
  const int64_t end = room < 0 ? begin : max(begin, min(p.out_width, room / p.stride_x + 1));
  parallel(p.planes, [&](int64_t first, int64_t last) {
    for (int64_t plane = first; plane < last; ++plane) {
      const float* from = input + plane * p.height * p.width;
      for (int64_t y = 0; y < p.out_height; ++y) {
        float* to = output + (plane * p.out_height + y) * p.out_width;
        int64_t* index = indices + (plane * p.out_height + y) * p.out_width;
        int64_t done = begin;
        if (p.stride_x == 1) done = max_of_row<kWidth, 1>(p, from, y, begin, end, to, index);
        if (p.stride_x == 2) done = max_of_row<kWidth, 2>(p, from, y, begin, end, to, index);
        for (int64_t x = 0; x < begin; ++x) max_of_window(p, from, y, x, to + x, index + x);
        for (int64_t x = done; x < p.out_width; ++x) max_of_window(p, from, y, x, to + x, index + x);
      }
    }
  });
}

void mean_pool(const Pool& p, bool count_padding, int64_t divisor, const float* input, float* output) {
  parallel(p.planes, [&](int64_t first, int64_t last) {
    for (int64_t plane = first; plane < last; ++plane) {
      const float* from = input + plane * p.height * p.width;
      float* to = output + plane * p.out_height * p.out_width;
      for (int64_t y = 0; y < p.out_height; ++y) {
        for (int64_t x = 0; x < p.out_width; ++x)
          *to++ = mean_of_window(p, count_padding, divisor, from, y, x);
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
