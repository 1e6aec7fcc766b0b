#include <cmath>

#include "functions.h"
#include "philox.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

/// Two even numbers of [0, 1) → two normal ones (Box and Muller 1958).
inline void normal_pair(float* pair) {
  const float radius = std::sqrt(-2 * std::log(1 - pair[0]));  // 1 - u is never 0
  const float angle = 6.283185307179586F * pair[1];
  pair[0] = radius * std::cos(angle);
  pair[1] = radius * std::sin(angle);
}

template <bool kNormal>
void fill(const Draw& draw, int64_t count, float* to) {
  const auto blocks = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * kDrawn; i < min(count, end * kDrawn); i += kDrawn) {
      float numbers[kDrawn];
      draw_block(draw, i, numbers);
      const int64_t wanted = min(kDrawn, count - i);
      for (int64_t j = 0; kNormal && j < wanted; j += 2) normal_pair(numbers + j);
      for (int64_t j = 0; j < wanted; ++j) to[i + j] = numbers[j];
    }
  };
  parallel(divide_up(count, kDrawn), blocks, count >= kDropoutWorthThreads);
}

}  // namespace

void uniform(const Draw& draw, int64_t count, float* to) { fill<false>(draw, count, to); }
void normal(const Draw& draw, int64_t count, float* to) { fill<true>(draw, count, to); }

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
