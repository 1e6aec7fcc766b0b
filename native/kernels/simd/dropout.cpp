#include "functions.h"
#include "philox.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

void dropout(const Dropout& d, const float* from, int64_t count, float* to, bool* kept) {
  const auto blocks = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * kDrawn; i < min(count, end * kDrawn); i += kDrawn) {
      float uniform[kDrawn];
      draw_block(d.draw, i, uniform);
      for (int64_t j = 0; j < min(kDrawn, count - i); ++j) {
        const bool keep = uniform[j] >= d.chance;
        kept[i + j] = keep;
        to[i + j] = keep ? from[i + j] * d.scale : 0.0F;
      }
    }
  };
  parallel(divide_up(count, kDrawn), blocks, count >= kDropoutWorthThreads);
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
