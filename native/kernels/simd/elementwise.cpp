// Loops that the compiler turns into vectors.
#include <algorithm>

#include "functions.h"
#include "loops.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

/// A row of to = f(a, b, alpha).
template <class To>
using Row = void (*)(const float* a, const float* b, float alpha, int64_t count, To* to);

template <class To, class Function>
void each(const float* a, const float* b, float alpha, int64_t count, To* out) {
  To* __restrict to = out;
  for (int64_t i = 0; i < count; ++i) to[i] = Function()(a[i], b[i], alpha);
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

/// As many numbers as a broadcast one is written out to at once.
constexpr int64_t kCopies = 256;

template <class To>
void apply(Row<To> row, const Loop<3>* loops, int64_t depth, const float* a, const float* b, float alpha,
           To* to) {
  const Loop<3>& inner = loops[depth - 1];
  const bool same_a = inner.step[1] == 0, same_b = inner.step[2] == 0;
  over_rows(loops, depth, [&](const int64_t* at, int64_t count) {
    const float *left = a + at[1], *right = b + at[2];
    To* out = to + at[0];
    if (!same_a && !same_b) return row(left, right, alpha, count, out);
    if (same_a && same_b) {
      row(left, right, alpha, 1, out);
      for (int64_t i = 1; i < count; ++i) out[i] = *out;
      return;
    }
    // One function for every kind of row is a third of the code, and a copy stays in the nearest cache.
    float copies[kCopies];
    std::fill_n(copies, std::min(count, kCopies), same_a ? *left : *right);
    for (int64_t i = 0; i < count; i += kCopies) {
      const int64_t some = std::min(count - i, kCopies);
      row(same_a ? copies : left + i, same_b ? copies : right + i, alpha, some, out + i);
    }
  });
}

}  // namespace

#define EDGETRAIN_BINARY(name, Function)                                                                   \
  void name(const Loop<3>* loops, int64_t depth, const float* a, const float* b, float alpha, float* to) { \
    apply(each<float, Function>, loops, depth, a, b, alpha, to);                                           \
  }
EDGETRAIN_BINARY(add, Add)
EDGETRAIN_BINARY(subtract, Subtract)
EDGETRAIN_BINARY(multiply, Multiply)
EDGETRAIN_BINARY(divide, Divide)
EDGETRAIN_BINARY(maximum, Maximum)
EDGETRAIN_BINARY(minimum, Minimum)

#define EDGETRAIN_COMPARISON(name, Function)                                                 \
  void name(const Loop<3>* loops, int64_t depth, const float* a, const float* b, bool* to) { \
    apply(each<uint8_t, Function>, loops, depth, a, b, 0, reinterpret_cast<uint8_t*>(to));   \
  }
EDGETRAIN_COMPARISON(equal, Equal)
EDGETRAIN_COMPARISON(not_equal, NotEqual)
EDGETRAIN_COMPARISON(less, Less)
EDGETRAIN_COMPARISON(less_equal, LessEqual)
EDGETRAIN_COMPARISON(greater, Greater)
EDGETRAIN_COMPARISON(greater_equal, GreaterEqual)

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

/// An element of any type, which is not branched on even where loops are not vectorised.
typedef uint32_t Pattern __attribute__((may_alias));

void select(const Loop<4>* loops, int64_t depth, const bool* condition, const float* yes, const float* no,
            float* out) {
  const Loop<4>& inner = loops[depth - 1];
  over_rows(loops, depth, [&](const int64_t* at, int64_t count) {
    const auto* __restrict flags = reinterpret_cast<const uint8_t*>(condition + at[1]);
    const auto *a = reinterpret_cast<const Pattern*>(yes + at[2]),
               *b = reinterpret_cast<const Pattern*>(no + at[3]);
    auto* __restrict to = reinterpret_cast<Pattern*>(out + at[0]);
    const int64_t a_step = inner.step[2], b_step = inner.step[3];
    if (inner.step[1] == 0) {
      const Pattern* from = *flags != 0 ? a : b;
      const int64_t step = *flags != 0 ? a_step : b_step;
      for (int64_t i = 0; i < count; ++i) to[i] = from[i * step];
      return;
    }
    const auto choose = [&](auto left, auto right) {
      for (int64_t i = 0; i < count; ++i) {
        const Pattern x = left(i), y = right(i);
        to[i] = flags[i] != 0 ? x : y;
      }
    };
    const auto each = [](const Pattern* from) { return [from](int64_t i) { return from[i]; }; };
    const auto same = [](const Pattern* from) { return [value = *from](int64_t) { return value; }; };
    if (a_step == 1) {
      b_step == 1 ? choose(each(a), each(b)) : choose(each(a), same(b));
    } else {
      b_step == 1 ? choose(same(a), each(b)) : choose(same(a), same(b));
    }
  });
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
