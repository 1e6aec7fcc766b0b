// Convolutions of few input channels, as in a first layer. Vectors hold neighbouring pixels of a row, so that
// nothing has to be transposed.
#include "convolution_methods.h"
#include "functions.h"
#include "micro_kernel.h"
#include "padding.h"
#include "parts.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

/// Rows of all channels that `rows` rows of results look at.
Window window_of(const Convolution& c, int64_t rows) {
  return {c.padding_y, c.padding_x, (rows - 1) * c.stride_y + (c.kernel_height - 1) * c.dilation_y + 1,
          c.out_width + (c.kernel_width - 1) * c.dilation_x};
}

/// Where in a window the pixels of a kernel's elements lie.
const int32_t* offsets_in(const Convolution& c, const Window& window) {
  auto* offsets = scratch_of<int32_t>(Scratch::kOffsets, c.channels * c.kernel_height * c.kernel_width);
  int32_t* offset = offsets;
  for (int64_t channel = 0; channel < c.channels; ++channel) {
    for (int64_t y = 0; y < c.kernel_height; ++y) {
      for (int64_t x = 0; x < c.kernel_width; ++x) {
        const int64_t row = channel * window.height + y * c.dilation_y;
        *offset++ = static_cast<int32_t>(row * window.width + x * c.dilation_x);
      }
    }
  }
  return offsets;
}

/// What the results from row y0 on look at.
void read_window(const Convolution& c, const float* input, int64_t image, int64_t y0, Window window,
                 float* to) {
  window.top -= y0 * c.stride_y;
  for (int64_t channel = 0; channel < c.channels; ++channel) {
    pad_plane(input + (image * c.channels + channel) * c.height * c.width, c.height, c.width, window,
              to + channel * window.plane());
  }
}

/// `vectors` of neighbouring results, of kChannels output channels.
template <int kChannels, int kVectors>
void sum_taps(const float* pixels, const int32_t* offsets, int64_t taps, const float* weight,
              const float* bias, float* to, int64_t plane) {
  Vector sums[kChannels][kVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kChannels; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) sums[i][j] = bias != nullptr ? splat(bias[i]) : Vector{};
  }
  for (int64_t k = 0; k < taps; ++k) {
    Vector pixel[kVectors];
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) pixel[j] = load(pixels + offsets[k] + j * kWidth);
#pragma GCC unroll 8
    for (int i = 0; i < kChannels; ++i) {
      const Vector factor = splat(weight[i * taps + k]);
#pragma GCC unroll 2
      for (int j = 0; j < kVectors; ++j) sums[i][j] += factor * pixel[j];
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kChannels; ++i) {
#pragma GCC unroll 2
    for (int j = 0; j < kVectors; ++j) store(to + i * plane + j * kWidth, sums[i][j]);
  }
}

/// The same for as many of `left` channels as there is a function for; how many that is.
template <int kVectors>
int64_t sum_channels_of(int64_t left, const float* pixels, const int32_t* offsets, int64_t taps,
                        const float* weight, const float* bias, float* to, int64_t plane) {
  const int64_t channels = left >= kMR ? kMR : min<int64_t>(left, 2);
  const auto sum = channels == kMR ? sum_taps<kMR, kVectors>
                   : channels == 2 ? sum_taps<2, kVectors>
                                   : sum_taps<1, kVectors>;
  sum(pixels, offsets, taps, weight, bias, to, plane);
  return channels;
}

/// Rows of gradients of neighbouring channels, in whole vectors, and of the pixels that the first tap meets.
struct Strip {
  const float *grads, *pixels;
  int64_t rows, width, grad_plane, pixel_row;
};

/// sums[channel][tap] += a strip's products; the vectors of `taps` taps of one channel lie in a row.
template <int kTaps>
void add_products(const Strip& strip, const int32_t* offsets, int64_t channels, float* sums, int64_t taps) {
  Vector sum[kNarrowChannels][kTaps] = {};
  const float* grads[kNarrowChannels];
#pragma GCC unroll 4
  for (int i = 0; i < kNarrowChannels; ++i)
    grads[i] = strip.grads + min<int64_t>(i, channels - 1) * strip.grad_plane;
  const float* pixels = strip.pixels;
  for (int64_t at = 0, left = strip.width; at < strip.rows * strip.width; at += kWidth) {
    Vector grad[kNarrowChannels];
#pragma GCC unroll 4
    for (int i = 0; i < kNarrowChannels; ++i) grad[i] = load(grads[i] + at);
#pragma GCC unroll 8
    for (int t = 0; t < kTaps; ++t) {
      const Vector pixel = load(pixels + offsets[t]);
#pragma GCC unroll 4
      for (int i = 0; i < kNarrowChannels; ++i) sum[i][t] += grad[i] * pixel;
    }
    pixels += kWidth;
    left -= kWidth;
    if (left == 0) {
      left = strip.width;
      pixels += strip.pixel_row - strip.width;
    }
  }
  for (int64_t i = 0; i < channels; ++i) {
    for (int t = 0; t < kTaps; ++t) {
      float* to = sums + (i * taps + t) * kWidth;
      store(to, load(to) + sum[i][t]);
    }
  }
}

/// The same for as many of `left` taps as there is a function for; how many that is.
int64_t add_taps(int64_t left, const Strip& strip, const int32_t* offsets, int64_t channels, float* sums,
                 int64_t taps) {
  const int64_t count = left >= kNarrowTaps ? kNarrowTaps : left >= 3 ? 3 : 1;
  const auto add = count == kNarrowTaps ? add_products<kNarrowTaps>
                   : count == 3         ? add_products<3>
                                        : add_products<1>;
  add(strip, offsets, channels, sums, taps);
  return count;
}

/// sums[channel] += a strip's gradients.
void add_gradients(const Strip& strip, int64_t channels, float* sums) {
  for (int64_t i = 0; i < channels; ++i) {
    const float* grads = strip.grads + i * strip.grad_plane;
    const int64_t count = strip.rows * strip.width;
    Vector sum[2] = {load(sums + i * kWidth), {}};
    int64_t k = 0;
    for (; k + kNR <= count; k += kNR) {
      sum[0] += load(grads + k);
      sum[1] += load(grads + k + kWidth);
    }
    for (; k < count; k += kWidth) sum[0] += load(grads + k);
    store(sums + i * kWidth, sum[0] + sum[1]);
  }
}

}  // namespace

void narrow(const Convolution& c, const float* input, const float* weight, const float* bias, float* output) {
  const int64_t taps = c.channels * c.kernel_height * c.kernel_width, plane = c.out_height * c.out_width;
  const int64_t strips = divide_up(c.out_height, kNarrowRows), tasks = c.batch * strips;
  const Window window = window_of(c, min(kNarrowRows, c.out_height));
  const int32_t* offsets = offsets_in(c, window);
  const int64_t parts = min(tasks, kTasksPerThread * thread_count()), slot = c.channels * window.plane();
  auto* slots = scratch_of<float>(Scratch::kPadded, parts * slot);
  const auto sum_rows = [&](int64_t task, float* pixels) {
    const int64_t image = task / strips, y0 = task % strips * kNarrowRows,
                  y1 = min(c.out_height, y0 + kNarrowRows);
    read_window(c, input, image, y0, window, pixels);
    for (int64_t y = y0; y < y1; ++y) {
      const float* row = pixels + (y - y0) * c.stride_y * window.width;
      float* to = output + image * c.out_channels * plane + y * c.out_width;
      for (int64_t x = 0; x < c.out_width;) {
        // The last vector may overlap the one before.
        const int64_t size = c.out_width - x > kWidth && c.out_width >= kNR ? kNR : kWidth;
        const int64_t at = min(x, c.out_width - size);
        const auto sum = size == kNR ? sum_channels_of<2> : sum_channels_of<1>;
        for (int64_t o = 0; o < c.out_channels;) {
          o += sum(c.out_channels - o, row + at, offsets, taps, weight + o * taps,
                   bias != nullptr ? bias + o : nullptr, to + o * plane + at, plane);
        }
        x = at + size;
      }
    }
  };
  in_parts(tasks, parts, [&](int64_t part, int64_t begin, int64_t end) {
    for (int64_t task = begin; task < end; ++task) sum_rows(task, slots + part * slot);
  });
}

void narrow_grad_weight(const Convolution& c, const float* grad_output, const float* input,
                        float* grad_weight, float* grad_bias) {
  const int64_t taps = c.channels * c.kernel_height * c.kernel_width, weights = c.out_channels * taps;
  const int64_t plane = c.out_height * c.out_width;
  const int64_t row_bytes = ((kNarrowChannels + c.channels) * c.out_width) * 4;
  const int64_t strip_rows = how_many(kNarrowStripBytes, row_bytes, c.out_height);
  const Window window = window_of(c, strip_rows);
  const int32_t* offsets = offsets_in(c, window);
  // The weight's sums, and after them the bias's.
  const int64_t sums_size = weights + c.out_channels;
  const Parts parts(c.batch, sums_size, c.batch * (c.channels * c.height * c.width + c.out_channels * plane));
  const int64_t pixels_size = c.channels * window.plane(), slot_size = pixels_size + sums_size * kWidth;
  auto* slots = scratch_of<float>(Scratch::kPadded, parts.slots() * slot_size);
  auto* sums_of_parts = scratch_of<float>(Scratch::kTransposed, parts.count * sums_size);
  const auto add_images = [&](int64_t part, int64_t slot, float* result) {
    float *pixels = slots + slot * slot_size, *sums = pixels + pixels_size;
    __builtin_memset(pixels, 0, static_cast<size_t>(slot_size) * sizeof(float));
    for (int64_t image = parts.begin(part, c.batch); image < parts.begin(part + 1, c.batch); ++image) {
      for (int64_t y0 = 0; y0 < c.out_height; y0 += strip_rows) {
        read_window(c, input, image, y0, window, pixels);
        const auto add_channels = [&](int64_t begin, int64_t end) {
          for (int64_t o = begin * kNarrowChannels; o < min(c.out_channels, end * kNarrowChannels);
               o += kNarrowChannels) {
            const float* grads = grad_output + (image * c.out_channels + o) * plane + y0 * c.out_width;
            const Strip strip = {grads,       pixels, min(strip_rows, c.out_height - y0),
                                 c.out_width, plane,  c.stride_y * window.width};
            const int64_t channels = min<int64_t>(kNarrowChannels, c.out_channels - o);
            for (int64_t t = 0; t < taps;)
              t += add_taps(taps - t, strip, offsets + t, channels, sums + (o * taps + t) * kWidth, taps);
            if (grad_bias != nullptr) add_gradients(strip, channels, sums + (weights + o) * kWidth);
          }
        };
        parallel(divide_up(c.out_channels, kNarrowChannels), add_channels, !parts.apart);
      }
    }
    for (int64_t i = 0; i < sums_size; ++i) result[i] = sum_of(load(sums + i * kWidth));
  };
  float* result = sums_of_parts + (parts.count - 1) * sums_size;
  parts.sum(sums_size, sums_of_parts, result, add_images);
  __builtin_memcpy(grad_weight, result, static_cast<size_t>(weights) * sizeof(float));
  if (grad_bias != nullptr) {
    __builtin_memcpy(grad_bias, result + weights, static_cast<size_t>(c.out_channels) * sizeof(float));
  }
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
