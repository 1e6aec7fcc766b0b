#include "../scratch.h"
#include "functions.h"
#include "parts.h"
#include "sums.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

void add_to(float* to, const float* from, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] += from[i];
}

void sum_channels(const float* from, int64_t batch, int64_t channels, int64_t plane, float* to) {
  if (plane <= kShortRow) {
    // Images are added first, and then what became of each plane.
    const int64_t size = channels * plane;
    auto* sums =
        static_cast<float*>(scratch(Scratch::kTransposed, static_cast<size_t>(size) * sizeof(float)));
    sum_middle(from, 1, batch, size, 1, sums);
    for (int64_t i = 0; i < channels; ++i) {
      to[i] = 0;
      for (int64_t j = 0; j < plane; ++j) to[i] += sums[i * plane + j];
    }
    return;
  }
  parallel(channels, [&](int64_t begin, int64_t end) {
    for (int64_t channel = begin; channel < end; ++channel) {
      float sum = 0;
      for (int64_t image = 0; image < batch; ++image)
        sum += sum_row(from + (image * channels + channel) * plane, plane);
      to[channel] = sum;
    }
  });
}

void sum_middle(const float* from, int64_t outer, int64_t reduced, int64_t inner, float factor, float* to) {
  if (inner == 1) {
    parallel(outer, [&](int64_t begin, int64_t end) {
      for (int64_t o = begin; o < end; ++o) to[o] = factor * sum_row(from + o * reduced, reduced);
    });
    return;
  }
  const int64_t parts = divide_up(inner, kSumColumns);
  parallel(outer * parts, [&](int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) {
      const int64_t o = task / parts, first = task % parts * kSumColumns,
                    count = min(kSumColumns, inner - first);
      float total[kSumColumns] = {};
      for (int64_t r = 0; r < reduced; r += kSumRows) {
        float sums[kSumColumns] = {};
        for (int64_t row = r; row < min(reduced, r + kSumRows); ++row) {
          const float* source = from + (o * reduced + row) * inner + first;
          for (int64_t i = 0; i < count; ++i) sums[i] += source[i];
        }
        for (int64_t i = 0; i < count; ++i) total[i] += sums[i];
      }
      for (int64_t i = 0; i < count; ++i) to[o * inner + first + i] = factor * total[i];
    }
  });
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
