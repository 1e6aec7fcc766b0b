#include "functions.h"
#include "micro_kernel.h"
#include "transpose.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

/// c[0..columns) = alpha * sums (+ bias) + kept * c
struct Finish {
  float alpha;
  const float* bias;
  float kept;

  /// A vector of sums, of which `columns` count, from column `column` on.
  void operator()(Vector sums, float* c, int64_t columns, int64_t column) const {
    Vector sum = alpha * sums;
    if (columns < kWidth) {
      float part[kWidth];
      store(part, sum);
      for (int64_t n = 0; n < columns; ++n) {
        c[n] = part[n] + (bias != nullptr ? bias[column + n] : 0.0F) + old(c[n]);
      }
      return;
    }
    if (bias != nullptr) sum += load(bias + column);
    if (kept != 0.0F) sum += kept * load(c);
    store(c, sum);
  }
  /// What is kept of an element.
  float old(float element) const { return kept != 0.0F ? kept * element : 0.0F; }
};

/// Columns [n0, n0 + columns) of b's rows [k0, k0 + depth), as panels [depth, kNR] with zeros at the end.
void pack(const Gemm& g, int64_t k0, int64_t depth, int64_t n0, int64_t columns, float* packed) {
  const float* b = g.b + k0 * g.b_row + n0 * g.b_column;
  const int64_t panel_size = depth * kNR, whole = columns / kNR, rest = columns % kNR;
  if (rest > 0)
    __builtin_memset(packed + whole * panel_size, 0, static_cast<size_t>(panel_size) * sizeof(float));
  if (g.b_column == 1) {
    // Whole rows at once: they lie far apart.
    for (int64_t k = 0; k < depth; ++k) {
      const float* from = b + k * g.b_row;
      float* to = packed + k * kNR;
      for (int64_t p = 0; p < whole; ++p, from += kNR, to += panel_size) {
        store(to, load(from));
        store(to + kWidth, load(from + kWidth));
      }
      for (int64_t n = 0; n < rest; ++n) to[n] = from[n];
    }
    return;
  }
  for (int64_t n = 0; n < columns; n += kNR, packed += panel_size) {
    const int64_t count = min<int64_t>(kNR, columns - n);
    if (g.b_row == 1) {
      transpose(b + n * g.b_column, g.b_column, packed, kNR, count, depth);
      continue;
    }
    for (int64_t k = 0; k < depth; ++k) {
      for (int64_t i = 0; i < count; ++i) packed[k * kNR + i] = b[k * g.b_row + (n + i) * g.b_column];
    }
  }
}

/// Rows [m0, m1) of c's columns [n0, n1), at most kNC of them: b is packed kKC rows at a time.
__attribute__((noinline)) void multiply_block(const Gemm& g, int64_t m0, int64_t m1, int64_t n0, int64_t n1) {
  alignas(64) float packed[kKC * kNC];
  alignas(64) float result[kMR * kNR];
  for (int64_t k0 = 0; k0 < g.k; k0 += kKC) {
    const int64_t depth = min(kKC, g.k - k0);
    pack(g, k0, depth, n0, n1 - n0, packed);
    const Finish finish = {g.alpha, k0 == 0 ? g.bias : nullptr, k0 == 0 ? g.kept : 1.0F};
    for (int64_t m = m0; m < m1; m += kMR) {
      const int64_t count = min<int64_t>(kMR, m1 - m);
      const float* rows[kMR];
      for (int i = 0; i < kMR; ++i) rows[i] = g.a + (m + i) * g.a_row + k0 * g.a_column;
      const float* panel = packed;
      for (int64_t n = n0; n < n1; n += kNR, panel += depth * kNR) {
        const int64_t columns = min<int64_t>(kNR, n1 - n);
        multiply({rows, count, columns, depth, panel, kNR, result, kNR}, Steps{g.a_column});
        for (int64_t i = 0; i < count; ++i) {
          for (int64_t j = 0; j < columns; j += kWidth) {
            finish(load(result + i * kNR + j), g.c + (m + i) * g.c_row + n + j, columns - j, n + j);
          }
        }
      }
    }
  }
}

/// c = a * b + kept * c of whole pairs of vectors; how many elements that were. With one sample, this is the
/// update of a weight matrix, which does little else than read and write it.
int64_t add_multiple(float a, const float* b, int64_t columns, float kept, float* c) {
  int64_t n = 0;
  for (; n + kNR <= columns; n += kNR) {
    Vector first = a * load(b + n), second = a * load(b + n + kWidth);
    if (kept != 0.0F) {
      first += kept * load(c + n);
      second += kept * load(c + n + kWidth);
    }
    store(c + n, first);
    store(c + n + kWidth, second);
  }
  return n;
}

/// Few rows of a, or few of b: both b and c are best gone through row by row.
void stream(const Gemm& g) {
  const int64_t row_block = g.k <= kStreamTerms ? kStreamRows : g.m;
  const int64_t row_blocks = divide_up(g.m, row_block);
  // One row of c stays in the first-level cache, and b is best read in whole rows.
  const int64_t column_block =
      g.m > 1 ? kStreamColumns
              : max(kStreamColumns, min(divide_up(g.n, int64_t{thread_count()}), kStreamRow));
  parallel(row_blocks * divide_up(g.n, column_block), [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t n0 = task / row_blocks * column_block, columns = min(column_block, g.n - n0);
      const int64_t m0 = task % row_blocks * row_block, m1 = min(g.m, m0 + row_block);
      for (int64_t k = 0; k < g.k; k += kStreamTerms) {
        const int64_t deep = min(kStreamTerms, g.k - k);
        const Finish finish = {1.0F, k == 0 ? g.bias : nullptr, k == 0 ? g.kept : 1.0F};
        const float* b[kStreamTerms];
        for (int64_t i = 0; i < kStreamTerms; ++i) b[i] = g.b + (k + min(i, deep - 1)) * g.b_row + n0;
        for (int64_t m = m0; m < m1; ++m) {
          float a[kStreamTerms];
          for (int64_t i = 0; i < kStreamTerms; ++i) {
            a[i] = i < deep ? g.alpha * g.a[m * g.a_row + (k + i) * g.a_column] : 0.0F;
          }
          float* c = g.c + m * g.c_row + n0;
          int64_t n =
              deep == 1 && finish.bias == nullptr ? add_multiple(a[0], b[0], columns, finish.kept, c) : 0;
          for (; n + kWidth <= columns; n += kWidth) {
            Vector sum = a[0] * load(b[0] + n);
            for (int64_t i = 1; i < deep; ++i) sum += a[i] * load(b[i] + n);
            finish(sum, c + n, kWidth, n0 + n);
          }
          for (; n < columns; ++n) {
            float sum = 0;
            for (int64_t i = 0; i < deep; ++i) sum += a[i] * b[i][n];
            c[n] = sum + (finish.bias != nullptr ? finish.bias[n0 + n] : 0.0F) + finish.old(c[n]);
          }
        }
      }
    }
  });
}

/// A number as a type.
template <int kValue>
struct Constant {
  constexpr int operator()() const { return kValue; }
};

/// Calls f with the number of rows, 1 to kRows, as a constant.
template <int kRows, class Function>
inline void with_rows(int64_t rows, const Function& f) {
  if (rows == kRows) {
    f(Constant<kRows>());
  } else if constexpr (kRows > 1) {
    with_rows<kRows - 1>(rows, f);
  }
}

/// Rows of a times rows of b: both are contiguous along k.
void dot_block(const Gemm& g, int64_t m0, int64_t n0) {
  const Finish finish = {g.alpha, g.bias, g.kept};
  const float *a[kDotRows], *b[kDotColumns];
  for (int i = 0; i < kDotRows; ++i) a[i] = g.a + min(m0 + i, g.m - 1) * g.a_row;
  for (int j = 0; j < kDotColumns; ++j) b[j] = g.b + min(n0 + j, g.n - 1) * g.b_column;
  with_rows<kDotRows>(min<int64_t>(kDotRows, g.m - m0), [&](auto rows) {
    constexpr int kRows = rows();
    Vector sums[kRows][kDotColumns] = {};
    int64_t k = 0;
    for (; k + kWidth <= g.k; k += kWidth) {
      Vector left[kRows];
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) left[i] = load(a[i] + k);
#pragma GCC unroll 4
      for (int j = 0; j < kDotColumns; ++j) {
        const Vector right = load(b[j] + k);
        // Rows of b are read once, and are too short for the processor to see that more of them follow.
        if (kRows == 1) __builtin_prefetch(b[j] + k + kDotColumns * g.b_column, 0, 2);
#pragma GCC unroll 4
        for (int i = 0; i < kRows; ++i) sums[i][j] += left[i] * right;
      }
    }
    for (int64_t i = 0; i < kRows; ++i) {
      for (int64_t j = 0; j < min<int64_t>(kDotColumns, g.n - n0); ++j) {
        float sum = sum_of(sums[i][j]);
        for (int64_t rest = k; rest < g.k; ++rest) sum += a[i][rest] * b[j][rest];
        float& c = g.c[(m0 + i) * g.c_row + n0 + j];
        c = g.alpha * sum + (g.bias != nullptr ? g.bias[n0 + j] : 0.0F) + finish.old(c);
      }
    }
  });
}

/// What is left of c = a b + bias where a has no columns.
void fill(const Gemm& g) {
  const Finish finish = {g.alpha, g.bias, g.kept};
  for (int64_t m = 0; m < g.m; ++m) {
    for (int64_t n = 0; n < g.n; ++n) {
      float& c = g.c[m * g.c_row + n];
      c = (g.bias != nullptr ? g.bias[n] : 0.0F) + finish.old(c);
    }
  }
}

}  // namespace

void gemm(const Gemm& g) {
  if (g.m == 0 || g.n == 0) return;
  if (g.k == 0) return fill(g);
  if (g.b_column == 1 && (g.m <= kStreamTerms || g.k <= kStreamTerms)) return stream(g);
  if (g.b_row == 1 && g.a_column == 1 && g.k >= 4 * kWidth && g.m <= kMostDotRows) {
    return parallel(divide_up(g.n, kDotColumns), [&](int64_t begin, int64_t end) {
      for (int64_t n = begin; n < end; ++n) {
        for (int64_t m = 0; m < g.m; m += kDotRows) dot_block(g, m, n * kDotColumns);
      }
    });
  }
  // Large blocks, but more of them than threads: columns are split first, so that each packs its own.
  const int64_t wanted = thread_count() > 1 ? kTasksPerThread * thread_count() : 1,
                panels = divide_up(g.n, kNR);
  const int64_t columns = min(kPanelsPerBlock, divide_up(panels, wanted)) * kNR,
                blocks = divide_up(g.n, columns);
  const int64_t even = divide_up(g.m * blocks, wanted * kMR) * kMR;
  const int64_t rows = min(kMostMC, max(kLeastMC, even)), row_blocks = divide_up(g.m, rows);
  parallel(row_blocks * blocks, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t m0 = task % row_blocks * rows, n0 = task / row_blocks * columns;
      multiply_block(g, m0, min(g.m, m0 + rows), n0, min(g.n, n0 + columns));
    }
  });
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
