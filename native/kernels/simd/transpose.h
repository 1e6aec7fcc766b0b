#pragma once

#include "vector.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

/// kSide x kSide elements in registers.
template <int kSide>
struct Square {
  typedef float Line __attribute__((vector_size(kSide * 4)));
  Line lines[kSide];

  inline __attribute__((always_inline)) void load(const float* from, int64_t row) {
#pragma GCC unroll 16
    for (int i = 0; i < kSide; ++i) __builtin_memcpy(&lines[i], from + i * row, sizeof(Line));
  }

  template <bool kAdd>
  inline __attribute__((always_inline)) void store(float* to, int64_t row) {
#pragma GCC unroll 16
    for (int i = 0; i < kSide; ++i) {
      if constexpr (kAdd) {
        Line before;
        __builtin_memcpy(&before, to + i * row, sizeof(Line));
        lines[i] += before;
      }
      __builtin_memcpy(to + i * row, &lines[i], sizeof(Line));
    }
  }

  template <int kStep = kSide / 2>
  inline __attribute__((always_inline)) void transpose() {
#pragma GCC unroll 16
    for (int i = 0; i < kSide; ++i) {
      if ((i & kStep) == 0) exchange<kStep>(lines[i], lines[i + kStep], std::make_index_sequence<kSide>());
    }
    if constexpr (kStep > 1) transpose<kStep / 2>();
  }

 private:
  /// Exchanges the blocks of kStep columns off the diagonal between two lines.
  template <int kStep, size_t... kColumn>
  static inline __attribute__((always_inline)) void exchange(Line& a, Line& b,
                                                             std::index_sequence<kColumn...>) {
    const Line first = __builtin_shufflevector(
        a, b,
        ((kColumn & kStep) != 0 ? kSide + static_cast<int>(kColumn ^ kStep) : static_cast<int>(kColumn))...);
    const Line second = __builtin_shufflevector(
        a, b,
        ((kColumn & kStep) != 0 ? kSide + static_cast<int>(kColumn) : static_cast<int>(kColumn ^ kStep))...);
    a = first;
    b = second;
  }
};

/// to[c * to_row + r] = from[r * from_row + c], or += with kAdd.
template <bool kAdd = false, int kSide = (kWidth < 8 ? kWidth : 8)>
inline void transpose(const float* from, int64_t from_row, float* to, int64_t to_row, int64_t rows,
                      int64_t columns) {
  int64_t r = 0;
  for (; r + kSide <= rows; r += kSide) {
    const float* source = from + r * from_row;
    float* target = to + r;
    int64_t c = 0;
    for (; c + kSide <= columns; c += kSide) {
      Square<kSide> square;
      square.load(source + c, from_row);
      square.transpose();
      square.template store<kAdd>(target + c * to_row, to_row);
    }
    if constexpr (kSide > 4) {
      if (c + kSide / 2 <= columns) {
        transpose<kAdd, kSide / 2>(source + c, from_row, target + c * to_row, to_row, kSide, kSide / 2);
        c += kSide / 2;
      }
    }
    for (; c < columns; ++c) {
      float* line = target + c * to_row;
      for (int i = 0; i < kSide; ++i) line[i] = source[i * from_row + c] + (kAdd ? line[i] : 0.0F);
    }
  }
  if constexpr (kSide > 4) {
    return transpose<kAdd, kSide / 2>(from + r * from_row, from_row, to + r, to_row, rows - r, columns);
  }
  for (; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      float& element = to[c * to_row + r];
      element = from[r * from_row + c] + (kAdd ? element : 0.0F);
    }
  }
}

/// The same, few lines of the result at a time: for those that lie far apart, where a cache has room for few.
template <bool kAdd = false>
inline void transpose_apart(const float* from, int64_t from_row, float* to, int64_t to_row, int64_t rows,
                            int64_t columns) {
  constexpr int64_t kLines = kWidth < 8 ? kWidth : 8;
  for (int64_t c = 0; c < columns; c += kLines) {
    transpose<kAdd>(from + c, from_row, to + c * to_row, to_row, rows, min(kLines, columns - c));
  }
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
