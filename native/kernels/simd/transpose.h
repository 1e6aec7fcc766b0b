#pragma once

#include "vector.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

/// Blocks of kSide x kSide are transposed in registers.
constexpr int kSide = kWidth < 8 ? kWidth : 8;
typedef float Side __attribute__((vector_size(kSide * 4)));
typedef float UnalignedSide __attribute__((vector_size(kSide * 4), aligned(4), may_alias));

inline Side load_side(const float* from) { return *reinterpret_cast<const UnalignedSide*>(from); }
inline void store_side(float* to, Side value) { *reinterpret_cast<UnalignedSide*>(to) = value; }

/// Exchanges the blocks of kStep columns off the diagonal between rows a and b.
template <int kStep, size_t... kColumn>
inline void exchange(Side& a, Side& b, std::index_sequence<kColumn...>) {
  constexpr int kBit = kStep;
  const Side first = __builtin_shufflevector(
      a, b,
      ((kColumn & kBit) != 0 ? kSide + static_cast<int>(kColumn ^ kBit) : static_cast<int>(kColumn))...);
  const Side second = __builtin_shufflevector(
      a, b,
      ((kColumn & kBit) != 0 ? kSide + static_cast<int>(kColumn) : static_cast<int>(kColumn ^ kBit))...);
  a = first;
  b = second;
}

template <int kStep>
inline __attribute__((always_inline)) void exchange_all(Side (&rows)[kSide]) {
#pragma GCC unroll 8
  for (int i = 0; i < kSide; ++i) {
    if ((i & kStep) == 0) exchange<kStep>(rows[i], rows[i + kStep], std::make_index_sequence<kSide>());
  }
  if constexpr (kStep > 1) exchange_all<kStep / 2>(rows);
}

/// to[c * to_row + r] = from[r * from_row + c], or += with kAdd.
template <bool kAdd = false>
inline void transpose(const float* from, int64_t from_row, float* to, int64_t to_row, int64_t rows,
                      int64_t columns) {
  int64_t r = 0;
  for (; r + kSide <= rows; r += kSide) {
    const float* source = from + r * from_row;
    float* target = to + r;
    int64_t c = 0;
    for (; c + kSide <= columns; c += kSide) {
      Side block[kSide];
#pragma GCC unroll 8
      for (int i = 0; i < kSide; ++i) {
        block[i] = load_side(source + i * from_row + c);
      }
      exchange_all<kSide / 2>(block);
#pragma GCC unroll 8
      for (int i = 0; i < kSide; ++i) {
        float* line = target + (c + i) * to_row;
        if constexpr (kAdd) block[i] += load_side(line);
        store_side(line, block[i]);
      }
    }
    for (; c < columns; ++c) {
      float* line = target + c * to_row;
      for (int i = 0; i < kSide; ++i) line[i] = source[i * from_row + c] + (kAdd ? line[i] : 0.0F);
    }
  }
  for (; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      float& element = to[c * to_row + r];
      element = from[r * from_row + c] + (kAdd ? element : 0.0F);
    }
  }
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
