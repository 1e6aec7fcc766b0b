// Convolutions whose every channel has a kernel of its own. Vectors hold one pixel of neighbouring channels,
// so that strides and small images leave no part of them empty.
#include "convolution_methods.h"
#include "functions.h"
#include "padding.h"
#include "transpose.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

/// A result's pixels: (y, x) is the sum, over the taps of its phase, of weight[tap[i]] times the pixel at
/// offset[i] from (y / phases_y * step_y, x / phases_x * step_x). Taps of one phase follow those of another.
struct Stencil {
  Window window;
  int64_t phases_y, phases_x, step_y, step_x;
  int64_t height, width;  // results
  int32_t *first, *tap, *offset;
};

/// Rows of results that are made at a time, from a window of so many rows.
struct Strips {
  int64_t rows, count, window_rows;

  explicit Strips(const Stencil& s) {
    const int64_t more = divide_up(s.height, s.phases_y) - 1, least = s.window.height - more * s.step_y;
    const int64_t bytes = (s.step_y * s.window.width + s.phases_y * s.width) * kWidth * 4;
    const int64_t steps = how_many(kDepthwiseStripBytes, bytes, more + 1);
    rows = steps * s.phases_y;
    count = divide_up(s.height, rows);
    window_rows = least + (steps - 1) * s.step_y;
  }
};

/// Scratch for the lists of a stencil.
Stencil stencil_of(const Convolution& c, int64_t phases_y, int64_t phases_x) {
  const int64_t taps = c.kernel_height * c.kernel_width, phases = phases_y * phases_x;
  Stencil s = {};
  s.phases_y = phases_y, s.phases_x = phases_x;
  s.first = scratch_of<int32_t>(Scratch::kOffsets, phases + 1 + 2 * taps);
  s.tap = s.first + phases + 1, s.offset = s.tap + taps;
  return s;
}

Stencil forward_stencil(const Convolution& c) {
  Stencil s = stencil_of(c, 1, 1);
  s.window = {c.padding_y, c.padding_x,
              (c.out_height - 1) * c.stride_y + (c.kernel_height - 1) * c.dilation_y + 1,
              (c.out_width - 1) * c.stride_x + (c.kernel_width - 1) * c.dilation_x + 1};
  s.step_y = c.stride_y, s.step_x = c.stride_x;
  s.height = c.out_height, s.width = c.out_width;
  int32_t count = 0;
  for (int64_t y = 0; y < c.kernel_height; ++y) {
    for (int64_t x = 0; x < c.kernel_width; ++x, ++count) {
      s.tap[count] = count;
      s.offset[count] = static_cast<int32_t>(y * c.dilation_y * s.window.width + x * c.dilation_x);
    }
  }
  s.first[0] = 0, s.first[1] = count;
  return s;
}

/// One direction of the way from input pixels back to output pixels.
struct Back {
  int64_t size, kernel, stride, padding, dilation;

  bool meets(int64_t phase, int64_t tap) const { return (phase + padding - tap * dilation) % stride == 0; }
  /// Of the output pixel that `tap` takes to the first input pixel of a phase.
  int64_t place(int64_t phase, int64_t tap) const { return (phase + padding - tap * dilation) / stride; }
  /// How far before the output, and up to where in it, input pixels reach.
  void reach(int64_t& before, int64_t& end) const {
    before = 0, end = 1;
    for (int64_t phase = 0; phase < min(stride, size); ++phase) {
      for (int64_t tap = 0; tap < kernel; ++tap) {
        if (!meets(phase, tap)) continue;
        before = max(before, -place(phase, tap));
        // Rows of results are made a whole step at a time: of the last one, later phases may be outside.
        end = max(end, place(phase, tap) + divide_up(size, stride));
      }
    }
  }
};

Stencil backward_stencil(const Convolution& c) {
  const Back y = {c.height, c.kernel_height, c.stride_y, c.padding_y, c.dilation_y};
  const Back x = {c.width, c.kernel_width, c.stride_x, c.padding_x, c.dilation_x};
  Stencil s = stencil_of(c, c.stride_y, c.stride_x);
  int64_t bottom = 0, right = 0;
  y.reach(s.window.top, bottom);
  x.reach(s.window.left, right);
  s.window.height = s.window.top + bottom, s.window.width = s.window.left + right;
  s.step_y = s.step_x = 1;
  s.height = c.height, s.width = c.width;
  int32_t count = 0;
  int64_t phase = 0;
  for (int64_t phase_y = 0; phase_y < c.stride_y; ++phase_y) {
    for (int64_t phase_x = 0; phase_x < c.stride_x; ++phase_x) {
      s.first[phase++] = count;
      for (int64_t i = 0; i < c.kernel_height; ++i) {
        for (int64_t j = 0; j < c.kernel_width; ++j) {
          if (!y.meets(phase_y, i) || !x.meets(phase_x, j)) continue;
          s.tap[count] = static_cast<int32_t>(i * c.kernel_width + j);
          s.offset[count++] = static_cast<int32_t>((s.window.top + y.place(phase_y, i)) * s.window.width +
                                                   s.window.left + x.place(phase_x, j));
        }
      }
    }
  }
  s.first[phase] = count;
  return s;
}

/// Planes of which kWidth at a time are read.
struct Planes {
  const float* data;
  int64_t channels, height, width;

  int64_t channels_of(int64_t group) const { return min<int64_t>(kWidth, channels - group * kWidth); }
  const float* at(int64_t image, int64_t group) const {
    return data + (image * channels + group * kWidth) * height * width;
  }
};

/// What a window sees from its row `first` on, in to[rows][window.width][kWidth].
void read_window(const Planes& planes, int64_t image, int64_t group, const Window& window, int64_t first,
                 int64_t rows, float* to) {
  __builtin_memset(to, 0, static_cast<size_t>(rows * window.width * kWidth) * sizeof(float));
  const int64_t columns = min(planes.width, window.width - window.left);
  const float* from = planes.at(image, group);
  for (int64_t row = max<int64_t>(0, window.top - first); row < rows; ++row) {
    const int64_t y = first + row - window.top;
    if (y >= planes.height || columns <= 0) return;
    transpose(from + y * planes.width, planes.height * planes.width,
              to + (row * window.width + window.left) * kWidth, kWidth, planes.channels_of(group), columns);
  }
}

/// `count` results of one phase in a row; kTaps is the number of their taps, or 0 for any.
template <int kTaps>
void sum_taps(const float* from, int64_t from_step, const int32_t* tap, const int32_t* offset, int64_t taps,
              const float* weight, Vector start, float* to, int64_t to_step, int64_t count) {
  Vector w[kTaps > 0 ? kTaps : 1];
  for (int64_t t = 0; t < kTaps; ++t) w[t] = load(weight + tap[t] * kWidth);
  for (int64_t i = 0; i < count; ++i, from += from_step, to += to_step) {
    Vector sum = start;
#pragma GCC unroll 9
    for (int64_t t = 0; t < (kTaps > 0 ? kTaps : taps); ++t) {
      const Vector factor = kTaps > 0 ? w[kTaps > 0 ? t : 0] : load(weight + tap[t] * kWidth);
      sum += factor * load(from + offset[t] * kWidth);
    }
    store(to, sum);
  }
}

/// Rows [y0, y1) of results, from a window that begins with what row y0 reads, to to[y][x][kWidth].
void apply(const Stencil& s, int64_t y0, int64_t y1, const float* window, const float* weight, Vector start,
           float* to) {
  for (int64_t y = y0; y < y1; ++y) {
    const float* row = window + (y - y0) / s.phases_y * s.step_y * s.window.width * kWidth;
    for (int64_t x = 0; x < min(s.phases_x, s.width); ++x) {
      const int32_t* first = s.first + y % s.phases_y * s.phases_x + x;
      const int64_t taps = first[1] - first[0], count = divide_up(s.width - x, s.phases_x);
      (taps == 9 ? sum_taps<9> : sum_taps<0>)(row, s.step_x * kWidth, s.tap + *first, s.offset + *first, taps,
                                              weight, start, to + ((y - y0) * s.width + x) * kWidth,
                                              s.phases_x * kWidth, count);
    }
  }
}

/// The stencil's results of all planes.
void apply_to(const Stencil& s, int64_t batch, const Planes& planes, const float* weight, int64_t taps,
              const float* bias, float* output) {
  const Strips strips(s);
  const int64_t groups = divide_up(planes.channels, kWidth), plane = s.height * s.width;
  const int64_t window_size = strips.window_rows * s.window.width * kWidth;
  const int64_t slot = window_size + strips.rows * s.width * kWidth;
  const int64_t all = batch * groups * strips.count, together = how_many(kImageBytes, slot * 4, all);
  auto* packed = scratch_of<float>(Scratch::kPacked, groups * taps * kWidth);
  __builtin_memset(packed, 0, static_cast<size_t>(groups * taps * kWidth) * sizeof(float));
  for (int64_t group = 0; group < groups; ++group) {
    transpose(weight + group * kWidth * taps, taps, packed + group * taps * kWidth, kWidth,
              planes.channels_of(group), taps);
  }
  auto* slots = scratch_of<float>(Scratch::kPadded, together * slot);
  for (int64_t done = 0; done < all; done += together) {
    parallel(min(together, all - done), [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t strip = (done + task) % strips.count, group = (done + task) / strips.count % groups;
        const int64_t image = (done + task) / strips.count / groups, channels = planes.channels_of(group);
        const int64_t y0 = strip * strips.rows, y1 = min(s.height, y0 + strips.rows);
        float *window = slots + task * slot, *results = window + window_size;
        read_window(planes, image, group, s.window, y0 / s.phases_y * s.step_y, strips.window_rows, window);
        const Vector start = bias != nullptr ? load_part(bias + group * kWidth, channels) : Vector{};
        apply(s, y0, y1, window, packed + group * taps * kWidth, start, results);
        transpose_apart(results, kWidth,
                        output + (image * planes.channels + group * kWidth) * plane + y0 * s.width, plane,
                        (y1 - y0) * s.width, channels);
      }
    });
  }
}

/// Adds a strip's products of gradient and pixels to sums[taps][kWidth].
template <int kTaps>
void add_tap_sums(const Stencil& s, int64_t rows, const float* grad, const float* window, int64_t taps,
                  float* to) {
  constexpr int kTogether = kTaps > 0 ? kTaps : kDepthwiseTaps;
  for (int64_t first = 0; first < taps; first += kTogether) {
    const int64_t count = min<int64_t>(kTogether, taps - first);
    Vector sums[kTogether] = {};
    for (int64_t y = 0; y < rows; ++y) {
      const float* row = window + y * s.step_y * s.window.width * kWidth;
      for (int64_t x = 0; x < s.width; ++x) {
        const Vector g = load(grad + (y * s.width + x) * kWidth);
#pragma GCC unroll 9
        for (int64_t t = 0; t < (kTaps > 0 ? kTaps : count); ++t) {
          sums[t] += g * load(row + (x * s.step_x + s.offset[first + t]) * kWidth);
        }
      }
    }
    for (int64_t t = 0; t < count; ++t)
      store(to + (first + t) * kWidth, load(to + (first + t) * kWidth) + sums[t]);
  }
}

}  // namespace

void depthwise(const Convolution& c, const float* input, const float* weight, const float* bias,
               float* output) {
  apply_to(forward_stencil(c), c.batch, {input, c.channels, c.height, c.width}, weight,
           c.kernel_height * c.kernel_width, bias, output);
}

void depthwise_grad_input(const Convolution& c, const float* grad_output, const float* weight,
                          float* grad_input) {
  apply_to(backward_stencil(c), c.batch, {grad_output, c.channels, c.out_height, c.out_width}, weight,
           c.kernel_height * c.kernel_width, nullptr, grad_input);
}

void depthwise_grad_weight(const Convolution& c, const float* grad_output, const float* input,
                           float* grad_weight, float* grad_bias) {
  const Stencil s = forward_stencil(c);
  const Strips strips(s);
  const Planes pixels = {input, c.channels, c.height, c.width};
  const Planes grads = {grad_output, c.channels, c.out_height, c.out_width};
  const int64_t taps = c.kernel_height * c.kernel_width, groups = divide_up(c.channels, kWidth);
  const int64_t window_size = strips.window_rows * s.window.width * kWidth;
  const int64_t slot = window_size + (strips.rows * s.width + taps) * kWidth;
  const int64_t together = how_many(kImageBytes, slot * 4, groups);
  auto* slots = scratch_of<float>(Scratch::kPadded, together * slot);
  for (int64_t done = 0; done < groups; done += together) {
    // By groups of channels: images add to the same sums, in their order.
    parallel(min(together, groups - done), [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t group = done + task, channels = pixels.channels_of(group);
        float *window = slots + task * slot, *grad = window + window_size;
        float* sums = grad + strips.rows * s.width * kWidth;
        __builtin_memset(grad, 0, static_cast<size_t>(slot - window_size) * sizeof(float));
        for (int64_t i = 0; i < c.batch * strips.count; ++i) {
          const int64_t image = i / strips.count, y0 = i % strips.count * strips.rows;
          const int64_t rows = min(strips.rows, s.height - y0);
          read_window(pixels, image, group, s.window, y0 * s.step_y, strips.window_rows, window);
          transpose(grads.at(image, group) + y0 * s.width, s.height * s.width, grad, kWidth, channels,
                    rows * s.width);
          (taps == 9 ? add_tap_sums<9> : add_tap_sums<0>)(s, rows, grad, window, taps, sums);
        }
        transpose(sums, kWidth, grad_weight + group * kWidth * taps, taps, taps, channels);
      }
    });
  }
  sum_bias(c, grad_output, grad_bias);
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
