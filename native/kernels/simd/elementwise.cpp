// Loops that the compiler turns into vectors.
#include "functions.h"
#include "loops.h"

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

/// A row of to = f(a, b, alpha). Rows are functions of their own, so that each exists only once.
template <class To>
using Row = void (*)(const float* a, int64_t a_step, const float* b, int64_t b_step, float alpha,
                     int64_t count, To* to);

template <class To, class Function>
void row(const float* left, int64_t left_step, const float* right, int64_t right_step, float alpha,
         int64_t count, To* out) {
  To* __restrict to = out;
  with_operands(left, left_step, right, right_step, [&](auto a, auto b) {
    for (int64_t i = 0; i < count; ++i) to[i] = Function()(a(i), b(i), alpha);
  });
}

struct Add {
  float operator()(float x, float y, float alpha) const { return x + alpha * y; }
};
struct Subtract {
  float operator()(float x, float y, float alpha) const { return x - alpha * y; }
};
struct Multiply {
  float operator()(float x, float y, float) const { return x * y; }
};
struct Divide {
  float operator()(float x, float y, float) const { return x / y; }
};
struct Maximum {
  float operator()(float x, float y, float) const { return x > y || x != x ? x : y; }
};
struct Minimum {
  float operator()(float x, float y, float) const { return x < y || x != x ? x : y; }
};
struct Equal {
  bool operator()(float x, float y, float) const { return x == y; }
};
struct NotEqual {
  bool operator()(float x, float y, float) const { return x != y; }
};
struct Less {
  bool operator()(float x, float y, float) const { return x < y; }
};
struct LessEqual {
  bool operator()(float x, float y, float) const { return x <= y; }
};
struct Greater {
  bool operator()(float x, float y, float) const { return x > y; }
};
struct GreaterEqual {
  bool operator()(float x, float y, float) const { return x >= y; }
};

template <class To>
void apply(Row<To> row, const Loop<3>* loops, int64_t depth, const float* a, const float* b, float alpha,
           To* to) {
  const Loop<3>& inner = loops[depth - 1];
  over_rows(loops, depth, [&](const int64_t* at, int64_t count) {
    row(a + at[1], inner.step[1], b + at[2], inner.step[2], alpha, count, to + at[0]);
  });
}

}  // namespace

void binary(Binary operation, const Loop<3>* loops, int64_t depth, const float* a, const float* b,
            float alpha, float* to) {
  // In the order of the enumeration.
  static constexpr Row<float> kRows[] = {row<float, Add>,    row<float, Subtract>, row<float, Multiply>,
                                         row<float, Divide>, row<float, Maximum>,  row<float, Minimum>};
  apply(kRows[static_cast<int>(operation)], loops, depth, a, b, alpha, to);
}

void compare(Comparison operation, const Loop<3>* loops, int64_t depth, const float* a, const float* b,
             bool* to) {
  static constexpr Row<uint8_t> kRows[] = {row<uint8_t, Equal>,   row<uint8_t, NotEqual>,
                                           row<uint8_t, Less>,    row<uint8_t, LessEqual>,
                                           row<uint8_t, Greater>, row<uint8_t, GreaterEqual>};
  apply(kRows[static_cast<int>(operation)], loops, depth, a, b, 0, reinterpret_cast<uint8_t*>(to));
}

void combine_bits(Bits operation, const uint8_t* a, const uint8_t* b, int64_t count, uint8_t* to) {
  over(count, [=](int64_t begin, int64_t end) {
    const auto each = [=](auto combine) {
      // Bytes may lie anywhere: only what is local is known not to change.
      const uint8_t *left = a, *right = b;
      uint8_t* __restrict out = to;
      for (int64_t i = begin; i < end; ++i) out[i] = static_cast<uint8_t>(combine(left[i], right[i]));
    };
    if (operation == Bits::kAnd) return each([](int x, int y) { return x & y; });
    if (operation == Bits::kOr) return each([](int x, int y) { return x | y; });
    each([](int x, int y) { return x ^ y; });
  });
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
