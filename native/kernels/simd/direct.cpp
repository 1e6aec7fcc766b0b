// Any convolution, without a matrix of patches: a micro-tile's rows are output pixels (or, for the weight's
// gradient, elements of the kernel), read from wherever they lie in an image with zeros around it, and its
// columns are output channels.
#include "convolution_methods.h"
#include "functions.h"
#include "micro_kernel.h"
#include "padding.h"
#include "parts.h"
#include "transpose.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

/// A matrix whose element (m, k) lies at base[rows[m] + depths[k]].
struct Gathered {
  const int32_t* rows;
  int64_t row_count;
  const int32_t* depths;
  int64_t depth;
};

/// to[m] of column n at n * column_step + (positions ? positions[m] : m)
struct Target {
  float* to;
  int64_t column_step;
  const int32_t* positions;
};

/// Rows [m0, m0 + count) of the gathered matrix times a panel, depths [k0, k0 + depth).
template <bool kAdd>
void multiply_block(const float* base, const Gathered& matrix, int64_t m0, int64_t k0, int64_t depth,
                    const float* panel, int64_t columns, const float* bias, const Target& target) {
  alignas(64) float result[kDirectMC * kNR];
  const int64_t count = min(kDirectMC, matrix.row_count - m0);
  alignas(64) float start[kNR] = {};
  if (bias != nullptr) __builtin_memcpy(start, bias, static_cast<size_t>(columns) * sizeof(float));
  const float* rows[kDirectMC];
  for (int64_t m = 0; m < count; ++m) rows[m] = base + matrix.rows[m0 + m];
  multiply({rows, count, columns, depth, panel, kNR, result, kNR, start}, Offsets{matrix.depths + k0});
  if (target.positions == nullptr) {
    transpose_apart<kAdd>(result, kNR, target.to + m0, target.column_step, count, columns);
    return;
  }
  for (int64_t n = 0; n < columns; ++n) {
    float* to = target.to + n * target.column_step;
    for (int64_t m = 0; m < count; ++m) to[target.positions[m0 + m]] = result[m * kNR + n];
  }
}

/// Images of which each group of channels is multiplied by panels of its own.
struct Images {
  const float* data;
  int64_t count, channels, height, width, groups;
  Window window;

  int64_t group_plane() const { return channels / groups * window.plane(); }
  bool as_they_are() const { return window.inside(height, width); }
};

/// Images [first, first + count) as the window sees them, in memory of that many where it is not them; by all
/// threads, or by this one alone.
const float* windows_of(const Images& images, int64_t first, int64_t count, float* memory, bool all_threads) {
  const float* from = images.data + first * images.channels * images.height * images.width;
  if (images.as_they_are()) return from;
  const auto pad = [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) {
      pad_plane(from + plane * images.height * images.width, images.height, images.width, images.window,
                memory + plane * images.window.plane());
    }
  };
  parallel(count * images.channels, pad, all_threads);
  return memory;
}

/// How many images are copied at a time, each of `parts` on its own.
int64_t images_at_once(const Images& images, int64_t parts) {
  const int64_t most = divide_up(images.count, parts);
  if (images.as_they_are()) return most;
  return how_many(kImageBytes, images.channels * images.window.plane() * 4, most);
}

/// Every image times every panel. pack(group, first column, columns, panel) fills [depth, kNR].
template <class Pack>
void correlate(const Images& images, const Gathered& matrix, int64_t columns, const Pack& pack,
               const float* bias, const Target& target) {
  const int64_t panels_per_group = divide_up(columns, kNR), panels = images.groups * panels_per_group;
  const int64_t panel_size = matrix.depth * kNR;
  const int64_t chunk = how_many(kPackedBytes, panel_size * 4, panels);
  const int64_t blocks = divide_up(matrix.row_count, kDirectMC);
  // What cores read of each other is to be little: all panels, where each has images of its own, or else all
  // images and their results.
  const int64_t pixels = images.count * (images.channels * images.height * images.width +
                                         images.groups * columns * matrix.row_count);
  const bool apart = thread_count() > 1 && images.count > 1 && panels * panel_size < pixels;
  const int64_t parts = apart ? min(images.count, kTasksPerThread * thread_count()) : 1;
  const int64_t together = images_at_once(images, parts);
  const int64_t slot = images.as_they_are() ? 0 : together * images.channels * images.window.plane();
  auto* slots = scratch_of<float>(Scratch::kPadded, parts * slot);
  auto* packed = scratch_of<float>(Scratch::kPacked, chunk * panel_size);
  const auto column_of = [&](int64_t panel) { return panel % panels_per_group * kNR; };
  for (int64_t first_panel = 0; first_panel < panels; first_panel += chunk) {
    const int64_t panel_count = min(chunk, panels - first_panel);
    parallel(panel_count, [&](int64_t begin, int64_t end) {
      for (int64_t p = begin; p < end; ++p) {
        const int64_t n0 = column_of(first_panel + p), width = min<int64_t>(kNR, columns - n0);
        float* panel = packed + p * panel_size;
        if (width < kNR && panel_size > 0)
          __builtin_memset(panel, 0, static_cast<size_t>(panel_size) * sizeof(float));
        pack((first_panel + p) / panels_per_group, n0, width, panel);
      }
    });
    const auto multiply_images = [&](int64_t first, int64_t last, float* memory) {
      for (; first < last; first += together) {
        const int64_t count = min(together, last - first);
        const float* windows = windows_of(images, first, count, memory, !apart);
        const auto multiply_blocks = [&](int64_t begin, int64_t end) {
          for (int64_t task = begin; task < end; ++task) {
            const int64_t p = task / (count * blocks), image = task / blocks % count, block = task % blocks;
            const int64_t group = (first_panel + p) / panels_per_group, n0 = column_of(first_panel + p);
            const float* base = windows + (image * images.groups + group) * images.group_plane();
            const int64_t channel = group * columns + n0;
            const Target place = {
                target.to + ((first + image) * images.groups * columns + channel) * target.column_step,
                target.column_step, target.positions};
            multiply_block<false>(base, matrix, block * kDirectMC, 0, matrix.depth, packed + p * panel_size,
                                  min<int64_t>(kNR, columns - n0), bias != nullptr ? bias + channel : nullptr,
                                  place);
          }
        };
        parallel(panel_count * count * blocks, multiply_blocks, !apart);
      }
    };
    if (!apart) {
      multiply_images(0, images.count, slots);
      continue;
    }
    in_parts(images.count, parts, [&](int64_t part, int64_t begin, int64_t end) {
      multiply_images(begin, end, slots + part * slot);
    });
  }
}

/// Offsets of output pixels in a window.
void fill_pixels(const Convolution& c, const Window& window, int32_t* to) {
  for (int64_t y = 0; y < c.out_height; ++y) {
    for (int64_t x = 0; x < c.out_width; ++x) {
      *to++ = static_cast<int32_t>(y * c.stride_y * window.width + x * c.stride_x);
    }
  }
}

/// Offsets of a kernel's elements in the windows of a group's channels.
void fill_taps(const Convolution& c, const Window& window, int32_t* to) {
  for (int64_t channel = 0; channel < c.channels / c.groups; ++channel) {
    for (int64_t y = 0; y < c.kernel_height; ++y) {
      for (int64_t x = 0; x < c.kernel_width; ++x) {
        *to++ = static_cast<int32_t>(channel * window.plane() + y * c.dilation_y * window.width +
                                     x * c.dilation_x);
      }
    }
  }
}

Images input_images(const Convolution& c, const float* input) {
  const Window window = {c.padding_y, c.padding_x,
                         (c.out_height - 1) * c.stride_y + (c.kernel_height - 1) * c.dilation_y + 1,
                         (c.out_width - 1) * c.stride_x + (c.kernel_width - 1) * c.dilation_x + 1};
  Images images = {input, c.batch, c.channels, c.height, c.width, c.groups, window};
  if (c.padding_y == 0 && c.padding_x == 0) {
    // Nothing to add; strides may leave a border that nobody reads.
    images.window.height = c.height;
    images.window.width = c.width;
  }
  return images;
}

/// The elements of a kernel that meet every stride-th input pixel, counted from `phase`, in one direction.
struct Phase {
  int64_t first, step, count;   // kernel index = first + i * step
  int64_t offset, offset_step;  // output pixel = pixel / stride + offset - i * offset_step
};

int64_t greatest_common_divisor(int64_t a, int64_t b) {
  return b == 0 ? a : greatest_common_divisor(b, a % b);
}

Phase phase_of(int64_t phase, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation) {
  const int64_t step = stride / greatest_common_divisor(stride, dilation);
  for (int64_t first = 0; first < min(step, kernel); ++first) {
    if ((phase + padding - first * dilation) % stride == 0) {
      return {first, step, divide_up(kernel - first, step), (phase + padding - first * dilation) / stride,
              step * dilation / stride};
    }
  }
  return {0, 1, 0, 0, 0};
}

/// How far outside of the output, and up to where in it, input pixels reach.
struct Reach {
  int64_t before, end;
  void include(const Phase& phase, int64_t pixels) {
    if (phase.count == 0 || pixels == 0) return;
    before = max(before, -(phase.offset - (phase.count - 1) * phase.offset_step));
    end = max(end, pixels + phase.offset);
  }
};

}  // namespace

void direct(const Convolution& c, const float* input, const float* weight, const float* bias, float* output) {
  const Images images = input_images(c, input);
  const int64_t depth = c.channels / c.groups * c.kernel_height * c.kernel_width;
  const int64_t pixels = c.out_height * c.out_width, columns = c.out_channels / c.groups;
  auto* offsets = scratch_of<int32_t>(Scratch::kOffsets, pixels + depth);
  fill_pixels(c, images.window, offsets);
  fill_taps(c, images.window, offsets + pixels);
  correlate(images, {offsets, pixels, offsets + pixels, depth}, columns,
            [&](int64_t group, int64_t n0, int64_t width, float* panel) {
              transpose(weight + (group * columns + n0) * depth, depth, panel, kNR, width, depth);
            },
            bias, {output, pixels, nullptr});
}

void direct_grad_input(const Convolution& c, const float* grad_output, const float* weight,
                       float* grad_input) {
  const int64_t per_group = c.out_channels / c.groups, columns = c.channels / c.groups;
  const int64_t taps = c.kernel_height * c.kernel_width;
  const auto phase_y = [&](int64_t phase) {
    return phase_of(phase, c.kernel_height, c.stride_y, c.padding_y, c.dilation_y);
  };
  const auto phase_x = [&](int64_t phase) {
    return phase_of(phase, c.kernel_width, c.stride_x, c.padding_x, c.dilation_x);
  };
  const auto pixels_in = [](int64_t phase, int64_t size, int64_t stride) {
    return size > phase ? divide_up(size - phase, stride) : 0;
  };
  Reach reach_y = {0, c.out_height}, reach_x = {0, c.out_width};
  for (int64_t i = 0; i < c.stride_y; ++i) reach_y.include(phase_y(i), pixels_in(i, c.height, c.stride_y));
  for (int64_t i = 0; i < c.stride_x; ++i) reach_x.include(phase_x(i), pixels_in(i, c.width, c.stride_x));
  const Window window = {reach_y.before, reach_x.before, reach_y.before + reach_y.end,
                         reach_x.before + reach_x.end};
  const Images images = {grad_output, c.batch, c.out_channels, c.out_height, c.out_width, c.groups, window};
  const bool whole = c.stride_y == 1 && c.stride_x == 1;
  const int64_t most_pixels = divide_up(c.height, c.stride_y) * divide_up(c.width, c.stride_x);
  auto* rows = scratch_of<int32_t>(Scratch::kOffsets, 2 * most_pixels + per_group * taps);
  int32_t *positions = rows + most_pixels, *depths = positions + most_pixels;
  for (int64_t py = 0; py < c.stride_y; ++py) {
    for (int64_t px = 0; px < c.stride_x; ++px) {
      const Phase y_taps = phase_y(py), x_taps = phase_x(px);
      const int64_t height = pixels_in(py, c.height, c.stride_y), width = pixels_in(px, c.width, c.stride_x);
      for (int64_t y = 0; y < height; ++y) {
        for (int64_t x = 0; x < width; ++x) {
          rows[y * width + x] = static_cast<int32_t>((y + window.top + y_taps.offset) * window.width + x +
                                                     window.left + x_taps.offset);
          positions[y * width + x] =
              static_cast<int32_t>((py + y * c.stride_y) * c.width + px + x * c.stride_x);
        }
      }
      int64_t depth = 0;
      for (int64_t o = 0; o < per_group; ++o) {
        for (int64_t i = 0; i < y_taps.count; ++i) {
          for (int64_t j = 0; j < x_taps.count; ++j) {
            depths[depth++] = static_cast<int32_t>(
                o * window.plane() - i * y_taps.offset_step * window.width - j * x_taps.offset_step);
          }
        }
      }
      correlate(images, {rows, height * width, depths, depth}, columns,
                [&](int64_t group, int64_t n0, int64_t panel_columns, float* panel) {
                  for (int64_t o = 0; o < per_group; ++o) {
                    const float* from = weight + ((group * per_group + o) * columns + n0) * taps;
                    for (int64_t i = 0; i < y_taps.count; ++i) {
                      for (int64_t j = 0; j < x_taps.count; ++j, panel += kNR) {
                        const float* tap = from + (y_taps.first + i * y_taps.step) * c.kernel_width +
                                           x_taps.first + j * x_taps.step;
                        if (taps == 1) {
                          __builtin_memcpy(panel, tap, static_cast<size_t>(panel_columns) * sizeof(float));
                          continue;
                        }
                        for (int64_t n = 0; n < panel_columns; ++n) panel[n] = tap[n * taps];
                      }
                    }
                  }
                },
                nullptr, {grad_input, c.height * c.width, whole ? nullptr : positions});
    }
  }
}

void direct_grad_weight(const Convolution& c, const float* grad_output, const float* input,
                        float* grad_weight, float* grad_bias) {
  const Images images = input_images(c, input);
  const int64_t taps = c.channels / c.groups * c.kernel_height * c.kernel_width;
  const int64_t pixels = c.out_height * c.out_width, columns = c.out_channels / c.groups;
  const int64_t panels_per_group = divide_up(columns, kNR), panels = c.groups * panels_per_group;
  const int64_t image_plane = c.channels * images.window.plane(), weights = c.out_channels * taps;
  const Parts parts(c.batch, weights, c.batch * (image_plane + c.out_channels * pixels));
  const int64_t together =
      how_many(kImageBytes, max(image_plane, c.out_channels * pixels) * 4, divide_up(c.batch, parts.count));
  const int64_t panel_size = together * pixels * kNR;
  const int64_t chunk = how_many(kPackedBytes / parts.count, panel_size * 4, panels);
  const int64_t window_size = images.as_they_are() ? 0 : together * image_plane;
  auto* offsets = scratch_of<int32_t>(Scratch::kOffsets, taps + together * pixels);
  int32_t* depths = offsets + taps;
  fill_taps(c, images.window, offsets);
  for (int64_t image = 0; image < together; ++image) {
    fill_pixels(c, images.window, depths + image * pixels);
    for (int64_t i = 0; i < pixels; ++i)
      depths[image * pixels + i] += static_cast<int32_t>(image * image_plane);
  }
  auto* windows_of_parts = scratch_of<float>(Scratch::kPadded, parts.slots() * window_size);
  auto* panels_of_parts = scratch_of<float>(Scratch::kPacked, parts.slots() * chunk * panel_size);
  auto* sums = scratch_of<float>(Scratch::kTransposed, (parts.count - 1) * weights);
  const int64_t blocks = divide_up(taps, kDirectMC);
  const auto add_images = [&](int64_t part, int64_t slot, float* result) {
    float* packed = panels_of_parts + slot * chunk * panel_size;
    __builtin_memset(result, 0, static_cast<size_t>(weights) * sizeof(float));
    const int64_t last = parts.begin(part + 1, c.batch);
    for (int64_t first = parts.begin(part, c.batch); first < last; first += together) {
      const int64_t count = min(together, last - first), depth = count * pixels;
      const float* windows =
          windows_of(images, first, count, windows_of_parts + slot * window_size, !parts.apart);
      for (int64_t first_panel = 0; first_panel < panels; first_panel += chunk) {
        const int64_t panel_count = min(chunk, panels - first_panel);
        const auto channel_of = [&](int64_t p) {
          return (first_panel + p) / panels_per_group * columns + (first_panel + p) % panels_per_group * kNR;
        };
        const auto columns_of = [&](int64_t p) {
          return min<int64_t>(kNR, columns - (first_panel + p) % panels_per_group * kNR);
        };
        const auto pack_panels = [&](int64_t begin, int64_t end) {
          for (int64_t task = begin; task < end; ++task) {
            const int64_t p = task / count, image = task % count, width = columns_of(p);
            float* panel = packed + p * panel_size + image * pixels * kNR;
            if (width < kNR) __builtin_memset(panel, 0, static_cast<size_t>(pixels * kNR) * sizeof(float));
            transpose(grad_output + ((first + image) * c.out_channels + channel_of(p)) * pixels, pixels,
                      panel, kNR, width, pixels);
          }
        };
        const auto multiply_blocks = [&](int64_t begin, int64_t end) {
          for (int64_t task = begin; task < end; ++task) {
            const int64_t p = task / blocks, block = task % blocks,
                          group = (first_panel + p) / panels_per_group;
            const Target target = {result + channel_of(p) * taps, taps, nullptr};
            for (int64_t k = 0; k < depth; k += kDirectKC) {
              multiply_block<true>(windows + group * images.group_plane(), {offsets, taps, depths, depth},
                                   block * kDirectMC, k, min(kDirectKC, depth - k),
                                   packed + p * panel_size + k * kNR, columns_of(p), nullptr, target);
            }
          }
        };
        parallel(panel_count * count, pack_panels, !parts.apart);
        parallel(panel_count * blocks, multiply_blocks, !parts.apart);
      }
    }
  };
  parts.sum(weights, sums, grad_weight, add_images);
  sum_bias(c, grad_output, grad_bias);
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
