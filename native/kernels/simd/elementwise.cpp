// Loops that the compiler turns into vectors.
#include "functions.h"
#include "transpose.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

/// f(begin, end) for parts of [0, count), in parallel where that pays.
template <class Function>
void over(int64_t count, const Function& f) {
  constexpr int64_t kPart = 8192, kWorthThreads = 32768;
  if (count < kWorthThreads) return f(0, count);
  parallel(divide_up(count, kPart),
           [&](int64_t begin, int64_t end) { f(begin * kPart, min(count, end * kPart)); });
}

/// f(a, b, begin, end), where a and b give an operand's i-th element.
template <class Function>
void over_operands(Operand a, Operand b, int64_t count, const Function& f) {
  over(count, [=](int64_t begin, int64_t end) {
    const float *left = a.data, *right = b.data;
    if (a.step == 1 && b.step == 1) {
      f([=](int64_t i) { return left[i]; }, [=](int64_t i) { return right[i]; }, begin, end);
    } else if (a.step == 1) {
      f([=](int64_t i) { return left[i]; }, [value = *right](int64_t) { return value; }, begin, end);
    } else if (b.step == 1) {
      f([value = *left](int64_t) { return value; }, [=](int64_t i) { return right[i]; }, begin, end);
    } else {
      f([value = *left](int64_t) { return value; }, [value = *right](int64_t) { return value; }, begin, end);
    }
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
  if (rows * columns < 32768) return strips(0, count);
  parallel(count, [&](int64_t begin, int64_t end) {
    for (int64_t strip = begin; strip < end; ++strip) strips(strip, strip + 1);
  });
}

void relu(const float* from, int64_t count, float* to) {
  over(count, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) to[i] = from[i] <= 0 ? 0.0F : from[i];  // NaN stays
  });
}

void less_equal(const float* from, float value, int64_t count, bool* to) {
  over(count, [=](int64_t begin, int64_t end) {
    const float* __restrict source = from;
    auto* __restrict target = reinterpret_cast<uint8_t*>(to);
    for (int64_t i = begin; i < end; ++i) target[i] = source[i] <= value;
  });
}

void select(const bool* condition, Operand yes, Operand no, int64_t count, float* to) {
  over_operands(yes, no, count, [=](auto a, auto b, int64_t begin, int64_t end) {
    const auto* __restrict flags = reinterpret_cast<const uint8_t*>(condition);
    for (int64_t i = begin; i < end; ++i) {
      const float left = a(i), right = b(i);
      to[i] = flags[i] != 0 ? left : right;
    }
  });
}

void binary(Binary operation, Operand left, Operand right, float alpha, int64_t count, float* to) {
  const float factor = operation == Binary::kSubtract ? -alpha : alpha;
  over_operands(left, right, count, [=](auto a, auto b, int64_t begin, int64_t end) {
    switch (operation) {
      case Binary::kAdd:
      case Binary::kSubtract:
        for (int64_t i = begin; i < end; ++i) to[i] = a(i) + factor * b(i);
        return;
      case Binary::kMultiply:
        for (int64_t i = begin; i < end; ++i) to[i] = a(i) * b(i);
        return;
      case Binary::kDivide:
        for (int64_t i = begin; i < end; ++i) to[i] = a(i) / b(i);
    }
  });
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
