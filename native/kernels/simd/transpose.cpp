#include "transpose.h"

#include "functions.h"
#include "loops.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

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
    for (int i = 0; i < kSide; ++i) store_line<kAdd>(lines[i], to + i * row);
  }

  /// A column, to a line of the result.
  template <bool kAdd, size_t... kRow>
  static inline __attribute__((always_inline)) void copy_column(const float* from, int64_t row, float* to,
                                                                std::index_sequence<kRow...>) {
    store_line<kAdd>(Line{from[static_cast<int64_t>(kRow) * row]...}, to);
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
  template <bool kAdd>
  static inline __attribute__((always_inline)) void store_line(Line line, float* to) {
    if constexpr (kAdd) {
      Line before;
      __builtin_memcpy(&before, to, sizeof(Line));
      line += before;
    }
    __builtin_memcpy(to, &line, sizeof(Line));
  }

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

/// By squares of kSide, and what is left by smaller ones.
template <bool kAdd, int kSide>
void transpose_by(const float* from, int64_t from_row, float* to, int64_t to_row, int64_t rows,
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
        transpose_by<kAdd, kSide / 2>(source + c, from_row, target + c * to_row, to_row, kSide, kSide / 2);
        c += kSide / 2;
      }
    }
    for (; c < columns; ++c) {
      Square<kSide>::template copy_column<kAdd>(source + c, from_row, target + c * to_row,
                                                std::make_index_sequence<kSide>());
    }
  }
  if constexpr (kSide > 4) {
    if (r < rows)
      transpose_by<kAdd, kSide / 2>(from + r * from_row, from_row, to + r, to_row, rows - r, columns);
    return;
  }
  for (; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      float& element = to[c * to_row + r];
      element = kAdd ? element + from[r * from_row + c] : from[r * from_row + c];
    }
  }
}

}  // namespace

template <bool kAdd>
void transpose(const float* from, int64_t from_row, float* to, int64_t to_row, int64_t rows,
               int64_t columns) {
  (columns < kSquare ? transpose_by<kAdd, 4> : transpose_by<kAdd, kSquare>)(from, from_row, to, to_row, rows,
                                                                            columns);
}
template void transpose<false>(const float*, int64_t, float*, int64_t, int64_t, int64_t);
template void transpose<true>(const float*, int64_t, float*, int64_t, int64_t, int64_t);

void transpose_matrix(const float* from, int64_t from_row, float* to, int64_t to_row, int64_t rows,
                      int64_t columns) {
  const auto strips = [&](int64_t begin, int64_t end) {
    const int64_t c = begin * kTransposeStrip;
    transpose_by<false, kWidth>(from + c, from_row, to + c * to_row, to_row, rows,
                                min(columns, end * kTransposeStrip) - c);
  };
  const int64_t count = divide_up(columns, kTransposeStrip);
  if (rows * columns < kWorthThreads) return strips(0, count);
  parallel(count, [&](int64_t begin, int64_t end) {
    for (int64_t strip = begin; strip < end; ++strip) strips(strip, strip + 1);
  });
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
