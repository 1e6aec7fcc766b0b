// Loops that the compiler turns into vectors.
#include "functions.h"
#include "loops.h"
#include "transpose.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

/// f(a, b), where a and b give an operand's i-th element: steps are 0 or 1.
template <class Function>
inline void with_operands(const float* a, int64_t a_step, const float* b, int64_t b_step, const Function& f) {
  const auto each_a = [a](int64_t i) { return a[i]; };
  const auto each_b = [b](int64_t i) { return b[i]; };
  const auto same_a = [value = *a](int64_t) { return value; };
  const auto same_b = [value = *b](int64_t) { return value; };
  if (a_step == 1 && b_step == 1) return f(each_a, each_b);
  if (a_step == 1) return f(each_a, same_b);
  if (b_step == 1) return f(same_a, each_b);
  f(same_a, same_b);
}

/// to = f(a, b) for all elements.
template <class To, class Function>
void apply(const Loop<3>* loops, int64_t depth, const float* left, const float* right, To* out,
           const Function& f) {
  const Loop<3>& inner = loops[depth - 1];
  over_rows(loops, depth, [&](const int64_t* at, int64_t count) {
    To* __restrict to = out + at[0];
    with_operands(left + at[1], inner.step[1], right + at[2], inner.step[2], [&](auto a, auto b) {
      for (int64_t i = 0; i < count; ++i) to[i] = f(a(i), b(i));
    });
  });
}

}  // namespace

void transpose_matrix(const float* from, int64_t from_row, float* to, int64_t to_row, int64_t rows,
                      int64_t columns) {
  // Strips as wide as a cache line: each line of both matrices is touched once.
  constexpr int64_t kStrip = 64;
  const auto strips = [&](int64_t begin, int64_t end) {
    const int64_t c = begin * kStrip;
    transpose<false, kWidth>(from + c, from_row, to + c * to_row, to_row, rows,
                             min(columns, end * kStrip) - c);
  };
  const int64_t count = divide_up(columns, kStrip);
  if (rows * columns < kWorthThreads) return strips(0, count);
  parallel(count, [&](int64_t begin, int64_t end) {
    for (int64_t strip = begin; strip < end; ++strip) strips(strip, strip + 1);
  });
}

void binary(Binary operation, const Loop<3>* loops, int64_t depth, const float* a, const float* b,
            float alpha, float* to) {
  switch (operation) {
    case Binary::kAdd:
      return apply(loops, depth, a, b, to, [=](float x, float y) { return x + alpha * y; });
    case Binary::kSubtract:
      return apply(loops, depth, a, b, to, [=](float x, float y) { return x - alpha * y; });
    case Binary::kMultiply:
      return apply(loops, depth, a, b, to, [](float x, float y) { return x * y; });
    case Binary::kDivide:
      return apply(loops, depth, a, b, to, [](float x, float y) { return x / y; });
    case Binary::kMaximum:
      return apply(loops, depth, a, b, to, [](float x, float y) { return x > y || x != x ? x : y; });
    case Binary::kMinimum:
      return apply(loops, depth, a, b, to, [](float x, float y) { return x < y || x != x ? x : y; });
  }
}

void compare(Comparison operation, const Loop<3>* loops, int64_t depth, const float* a, const float* b,
             bool* out) {
  auto* to = reinterpret_cast<uint8_t*>(out);
  switch (operation) {
    case Comparison::kEqual:
      return apply(loops, depth, a, b, to, [](float x, float y) { return x == y; });
    case Comparison::kNotEqual:
      return apply(loops, depth, a, b, to, [](float x, float y) { return x != y; });
    case Comparison::kLess:
      return apply(loops, depth, a, b, to, [](float x, float y) { return x < y; });
    case Comparison::kLessEqual:
      return apply(loops, depth, a, b, to, [](float x, float y) { return x <= y; });
    case Comparison::kGreater:
      return apply(loops, depth, a, b, to, [](float x, float y) { return x > y; });
    case Comparison::kGreaterEqual:
      return apply(loops, depth, a, b, to, [](float x, float y) { return x >= y; });
  }
}

void select(const Loop<4>* loops, int64_t depth, const bool* condition, const float* yes, const float* no,
            float* out) {
  const Loop<4>& inner = loops[depth - 1];
  over_rows(loops, depth, [&](const int64_t* at, int64_t count) {
    const auto* __restrict flags = reinterpret_cast<const uint8_t*>(condition + at[1]);
    float* __restrict to = out + at[0];
    with_operands(yes + at[2], inner.step[2], no + at[3], inner.step[3], [&](auto a, auto b) {
      if (inner.step[1] == 0) {
        const bool chosen = *flags != 0;
        for (int64_t i = 0; i < count; ++i) to[i] = chosen ? a(i) : b(i);
        return;
      }
      for (int64_t i = 0; i < count; ++i) {
        const float left = a(i), right = b(i);
        to[i] = flags[i] != 0 ? left : right;
      }
    });
  });
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
