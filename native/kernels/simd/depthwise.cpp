// Convolutions whose every channel has a kernel of its own: vectors run along the output's rows.
#include "functions.h"
#include "padding.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

Window window_of(const Convolution& c) {
  return {c.padding_y, c.padding_x,
          (c.out_height - 1) * c.stride_y + (c.kernel_height - 1) * c.dilation_y + 1,
          (c.out_width - 1) * c.stride_x + (c.kernel_width - 1) * c.dilation_x + 1, c.stride_x};
}

/// Between two windows: a vector that starts at the last element of one stays in that one's room.
int64_t step_of(const Window& window) { return window.plane() + kWidth; }

/// Where each element of the kernel lies in a window, from the first pixel on.
int32_t* tap_offsets(const Convolution& c, const Window& window) {
  auto* offsets = scratch_of<int32_t>(Scratch::kOffsets, c.kernel_height * c.kernel_width);
  for (int64_t y = 0; y < c.kernel_height; ++y) {
    for (int64_t x = 0; x < c.kernel_width; ++x) {
      offsets[y * c.kernel_width + x] =
          static_cast<int32_t>(y * c.dilation_y * window.row() + window.column(x * c.dilation_x));
    }
  }
  return offsets;
}

/// Calls f(first plane, planes, windows) for as many planes at a time as fit.
template <class Function>
void for_windows(const Convolution& c, const float* input, const Window& window, const Function& f) {
  const int64_t planes = c.batch * c.channels;
  const int64_t step = step_of(window), together = how_many(kImageBytes, step * 4, planes);
  auto* windows = scratch_of<float>(Scratch::kPadded, together * step);
  for (int64_t first = 0; first < planes; first += together) {
    const int64_t count = min(together, planes - first);
    pad_planes(input + first * c.height * c.width, count, c.height, c.width, window, windows, step);
    f(first, count, windows);
  }
}

/// Adds the products of a plane of the gradient with its window, per element of the kernel.
template <int kTaps>
void add_tap_sums(const Convolution& c, const Window& window, const int32_t* offsets, const float* grad,
                  const float* plane, float* to) {
  const int64_t taps = kTaps > 0 ? kTaps : c.kernel_height * c.kernel_width;
  constexpr int kTogether = kTaps > 0 ? kTaps : 8;
  for (int64_t first = 0; first < taps; first += kTogether) {
    const int64_t count = min<int64_t>(kTogether, taps - first);
    Vector sums[kTogether] = {};
    for (int64_t y = 0; y < c.out_height; ++y) {
      const float* row = plane + y * c.stride_y * window.row();
      for (int64_t x = 0; x < c.out_width; x += kWidth) {
        const Vector g = load_part(grad + y * c.out_width + x, c.out_width - x);
#pragma GCC unroll 9
        for (int64_t t = 0; t < (kTaps > 0 ? kTaps : count); ++t) {
          sums[t] += g * load(row + offsets[first + t] + x);
        }
      }
    }
    for (int64_t t = 0; t < count; ++t) to[first + t] += sum_of(sums[t]);
  }
}

/// Adds what each element of the output's gradient passes on, in a window of sums.
void scatter_grad_input(const Convolution& c, const float* grad_output, const float* weight,
                        float* grad_input) {
  const Window window = window_of(c);
  const int64_t taps = c.kernel_height * c.kernel_width, planes = c.batch * c.channels;
  const int32_t* offsets = tap_offsets(c, window);
  const int64_t step = step_of(window), together = how_many(kImageBytes, step * 4, planes);
  auto* windows = scratch_of<float>(Scratch::kPadded, together * step);
  const int64_t rows = min(c.height, window.height - window.top);
  const int64_t columns = min(c.width, window.width - window.left);
  for (int64_t first = 0; first < planes; first += together) {
    parallel(min(together, planes - first), [&](int64_t begin, int64_t end) {
      for (int64_t plane = begin; plane < end; ++plane) {
        float* sums = windows + plane * step;
        __builtin_memset(sums, 0, static_cast<size_t>(step) * sizeof(float));
        const float* w = weight + (first + plane) % c.channels * taps;
        const float* grad = grad_output + (first + plane) * c.out_height * c.out_width;
        for (int64_t y = 0; y < c.out_height; ++y, grad += c.out_width) {
          float* row = sums + y * c.stride_y * window.row();
          for (int64_t x = 0; x < c.out_width; x += kWidth) {
            const Vector g = load_part(grad + x, c.out_width - x);
            for (int64_t t = 0; t < taps; ++t) {
              float* to = row + offsets[t] + x;
              store(to, load(to) + w[t] * g);
            }
          }
        }
        float* to = grad_input + (first + plane) * c.height * c.width;
        __builtin_memset(to, 0, static_cast<size_t>(c.height * c.width) * sizeof(float));
        for (int64_t y = 0; y < rows; ++y, to += c.width) {
          const float* row = sums + (y + window.top) * window.row();
          for_phases(window, columns, [&](int64_t from, int64_t count, int64_t at) {
            for (int64_t i = 0; i < count; ++i) to[from + i * window.phases] = row[at + i];
          });
        }
      }
    });
  }
}

}  // namespace

void depthwise(const Convolution& c, const float* input, const float* weight, const float* bias,
               float* output) {
  const Window window = window_of(c);
  const int64_t taps = c.kernel_height * c.kernel_width, pixels = c.out_height * c.out_width;
  const int64_t step = step_of(window);
  const int32_t* offsets = tap_offsets(c, window);
  for_windows(c, input, window, [&](int64_t first, int64_t count, const float* windows) {
    parallel(count, [&](int64_t begin, int64_t end) {
      for (int64_t plane = begin; plane < end; ++plane) {
        const int64_t channel = (first + plane) % c.channels;
        const float* w = weight + channel * taps;
        const Vector start = splat(bias != nullptr ? bias[channel] : 0.0F);
        for (int64_t y = 0; y < c.out_height; ++y) {
          const float* row = windows + plane * step + y * c.stride_y * window.row();
          float* to = output + (first + plane) * pixels + y * c.out_width;
          for (int64_t x = 0; x < c.out_width; x += kWidth) {
            Vector sum = start;
            for (int64_t t = 0; t < taps; ++t) sum += w[t] * load(row + offsets[t] + x);
            store_part(to + x, sum, c.out_width - x);
          }
        }
      }
    });
  });
}

void depthwise_grad_input(const Convolution& c, const float* grad_output, const float* weight,
                          float* grad_input) {
  const int64_t taps = c.kernel_height * c.kernel_width;
  const int64_t padding_y = (c.kernel_height - 1) * c.dilation_y - c.padding_y;
  const int64_t padding_x = (c.kernel_width - 1) * c.dilation_x - c.padding_x;
  if (c.stride_y > 1 || c.stride_x > 1 || padding_y < 0 || padding_x < 0) {
    return scatter_grad_input(c, grad_output, weight, grad_input);
  }
  // A convolution of the gradient with the kernel turned around.
  auto* turned = scratch_of<float>(Scratch::kPacked, c.channels * taps);
  for (int64_t channel = 0; channel < c.channels; ++channel) {
    for (int64_t t = 0; t < taps; ++t) turned[channel * taps + t] = weight[(channel + 1) * taps - 1 - t];
  }
  Convolution back = c;
  back.height = c.out_height, back.width = c.out_width;
  back.out_height = c.height, back.out_width = c.width;
  back.padding_y = padding_y, back.padding_x = padding_x;
  depthwise(back, grad_output, turned, nullptr, grad_input);
}

void depthwise_grad_weight(const Convolution& c, const float* grad_output, const float* input,
                           float* grad_weight) {
  const Window window = window_of(c);
  const int64_t taps = c.kernel_height * c.kernel_width, pixels = c.out_height * c.out_width;
  const int64_t step = step_of(window);
  const int32_t* offsets = tap_offsets(c, window);
  __builtin_memset(grad_weight, 0, static_cast<size_t>(c.channels * taps) * sizeof(float));
  for_windows(c, input, window, [&](int64_t first, int64_t count, const float* windows) {
    // By channel: images of one channel add to the same sums, in their order.
    parallel(min(count, c.channels), [&](int64_t begin, int64_t end) {
      for (int64_t lane = begin; lane < end; ++lane) {
        for (int64_t plane = lane; plane < count; plane += c.channels) {
          const float* grad = grad_output + (first + plane) * pixels;
          float* to = grad_weight + (first + plane) % c.channels * taps;
          const float* from = windows + plane * step;
          if (taps == 9) {
            add_tap_sums<9>(c, window, offsets, grad, from, to);
          } else {
            add_tap_sums<0>(c, window, offsets, grad, from, to);
          }
        }
      }
    });
  });
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
