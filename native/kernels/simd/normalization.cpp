#include "functions.h"
#include "loops.h"
#include "sums.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

/// to[i] = a * from[i] + b
void scale_row(const float* from, int64_t count, float a, float b, float* to) {
  transform(from, count, to, [=](Vector x) { return x * a + b; });
}

}  // namespace

void normalize(const Normalization& n, const float* input, const float* weight, const float* bias,
               float* output, float* mean, float* rstd) {
  const int64_t size = n.channels * n.plane;
  const auto range = [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* from = input + row * size;
      float* to = output + row * size;
      const auto count = static_cast<float>(size);
      const float center = sum_row(from, size) / count;
      const float variance = sum_row(from, size, [=](auto x) { return (x - center) * (x - center); }) / count;
      const float scale = 1.0F / __builtin_sqrtf(variance + n.eps);
      mean[row] = center;
      rstd[row] = scale;
      const int64_t first = row % n.groups * n.channels;
      if (n.plane > 1) {
        for (int64_t c = 0; c < n.channels; ++c) {
          const float factor = scale * (weight == nullptr ? 1.0F : weight[first + c]);
          const float shift = (bias == nullptr ? 0.0F : bias[first + c]) - center * factor;
          scale_row(from + c * n.plane, n.plane, factor, shift, to + c * n.plane);
        }
        continue;
      }
      for (int64_t i = 0; i < size; ++i) {
        const float factor = scale * (weight == nullptr ? 1.0F : weight[first + i]);
        to[i] = (from[i] - center) * factor + (bias == nullptr ? 0.0F : bias[first + i]);
      }
    }
  };
  if (n.rows * size < kNormWorthThreads) return range(0, n.rows);
  parallel(n.rows, range);
}

void scale_channels(const float* from, int64_t batch, int64_t channels, int64_t plane, const float* scale,
                    const float* shift, float* to) {
  const auto images = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * channels; i < end * channels; i += channels) {
      for (int64_t c = 0; c < channels; ++c) to[i + c] = from[i + c] * scale[c] + shift[c];
    }
  };
  const auto planes = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      scale_row(from + i * plane, plane, scale[i % channels], shift[i % channels], to + i * plane);
  };
  const bool threads = batch * channels * plane >= kWorthThreads;
  if (plane == 1) return threads ? parallel(batch, images) : images(0, batch);
  threads ? parallel(batch * channels, planes) : planes(0, batch * channels);
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
