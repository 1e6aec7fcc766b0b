// 3x3 convolutions of stride 1 by tiles of 4x4 or 2x2 output pixels. Vectors hold channels: the transforms
// work on (6 or 4)^2 vectors at a time, and between them there is one matrix product per point, of tiles with
// input channels by input channels with output channels.
#include "convolution_methods.h"
#include "functions.h"
#include "micro_kernel.h"
#include "padding.h"
#include "parts.h"
#include "transpose.h"
#include "winograd_tiles.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

/// Images, cut into squares `step` apart, the first of which begins at pixel (-top, -left).
struct Squares {
  const float* data;
  int64_t channels, height, width, top, left;
  int64_t down, across;  // squares per image
  int64_t side, step;

  int64_t groups() const { return divide_up(channels, kWidth); }
  /// Pixels along `count` neighbouring squares.
  int64_t width_of(int64_t count) const { return count * step + side - step; }
};

/// `count` squares of a row, of a group of channels, with zeros around the image, in
/// to[side][width_of(count)][kWidth].
void read_run(const Squares& from, int64_t image, int64_t group, int64_t row, int64_t column, int64_t count,
              float* to) {
  const int64_t channels = min<int64_t>(kWidth, from.channels - group * kWidth);
  const int64_t y0 = row * from.step - from.top, x0 = column * from.step - from.left;
  const int64_t width = from.width_of(count);
  const int64_t begin = max<int64_t>(0, -x0), end = min(width, from.width - x0);
  const int64_t first_y = max<int64_t>(0, -y0), end_y = min(from.side, from.height - y0);
  if (channels < kWidth || begin > 0 || end < width || first_y > 0 || end_y < from.side) {
    __builtin_memset(to, 0, static_cast<size_t>(from.side * width * kWidth) * sizeof(float));
  }
  if (begin >= end) return;
  const int64_t plane = from.height * from.width;
  const float* corner = from.data + (image * from.channels + group * kWidth) * plane + y0 * from.width + x0;
  for (int64_t y = first_y; y < end_y; ++y) {
    transpose(corner + y * from.width + begin, plane, to + (y * width + begin) * kWidth, kWidth, channels,
              end - begin);
  }
}

/// Squares [first, first + count), all channels; by all threads, or by this one alone.
/// @param transform of WinogradTiles
void transform_squares(const Squares& from, decltype(WinogradTiles::input) transform, int64_t first,
                       int64_t count, const Transformed& to, bool all_threads) {
  const int64_t runs = divide_up(count, kWinogradRun), groups = from.groups();
  const auto transform_runs = [&](int64_t begin, int64_t end) {
    alignas(64) float pixels[kMostSide * (kMostOutputs * kWinogradRun + kMostSide - kMostOutputs) * kWidth];
    for (int64_t task = begin; task < end; ++task) {
      const int64_t group = task % groups,
                    last = min(first + count, first + (task / groups + 1) * kWinogradRun);
      for (int64_t square = first + task / groups * kWinogradRun; square < last;) {
        const int64_t column = square % from.across, row = square / from.across % from.down;
        const int64_t together = min(last - square, from.across - column);
        read_run(from, square / from.across / from.down, group, row, column, together, pixels);
        float* target = to.data + (square - first) * to.square + group * kWidth;
        transform(pixels, from.width_of(together) * kWidth, together, {target, to.product, to.square});
        square += together;
      }
    }
  };
  parallel(runs * groups, transform_runs, all_threads);
}

/// What a convolution makes of its images' tiles, panel by panel of output channels.
struct Products {
  const WinogradTiles& of;
  const Convolution& c;
  bool turned;
  Squares squares;
  const float *weight, *bias;
  float* output;
  // Steps between transformed tiles, their points, and the points of transformed kernels.
  int64_t square, depth, product;

  int64_t tiles() const { return c.batch * squares.down * squares.across; }
  int64_t panels() const { return divide_up(c.out_channels, kNR); }
  int64_t panel_size() const { return of.points() * product; }

  void transform_tiles(int64_t first, int64_t count, float* to, bool all_threads) const {
    transform_squares(squares, of.input, first, count, {to, depth, square}, all_threads);
  }
  void transform_panels(int64_t first, int64_t count, float* to, bool all_threads) const {
    const WinogradWeight panels = {weight, c.channels, c.out_channels, turned, first};
    const auto transform = [&](int64_t begin, int64_t end) { of.weight(panels, begin, end, to); };
    parallel(count * panels.blocks(), transform, all_threads);
  }
  /// Output pixels of tiles [first, first + count), at most kWinogradMC.
  void multiply_block(int64_t first, int64_t count, const float* transformed, int64_t panel,
                      const float* kernels) const {
    alignas(64) float products[kWinogradMC * kMostPoints * kNR];
    alignas(64) float pixels[kMostOutputs * kMostOutputs * kWinogradRun * kNR];
    const int64_t outputs = of.outputs, points = of.points();
    const int64_t n0 = panel * kNR, columns = min<int64_t>(kNR, c.out_channels - n0);
    const float* rows[kWinogradMC];
    for (int64_t i = 0; i < count; ++i) rows[i] = transformed + i * square;
    Product product_of_tiles = {rows, count, columns, c.channels, kernels, kNR, products, points * kNR};
    product_of_tiles.points = {points, depth, product, kNR};
    multiply(product_of_tiles, Steps{1});
    const float* from = products;
    for (int64_t tile = first; tile < first + count;) {
      const int64_t row = tile / squares.across, column = tile % squares.across;
      const int64_t together = min(min(kWinogradRun, first + count - tile), squares.across - column);
      const int64_t line = together * outputs * kNR;
      of.output(from, together, columns, bias != nullptr ? bias + n0 : nullptr, pixels, line);
      from += together * points * kNR;
      const int64_t image = row / squares.down, y0 = row % squares.down * outputs, x0 = column * outputs;
      const int64_t height = min(outputs, c.out_height - y0);
      const int64_t width = min(together * outputs, c.out_width - x0), plane = c.out_height * c.out_width;
      float* to = output + (image * c.out_channels + n0) * plane + y0 * c.out_width + x0;
      for (int64_t y = 0; y < height; ++y) {
        transpose(pixels + y * line, kNR, to + y * c.out_width, plane, width, columns);
      }
      tile += together;
    }
  }
};

/// Each thread transforms tiles of its own and multiplies them by all kernels.
void multiply_by_tiles(const Products& p) {
  const int64_t tiles = p.tiles(), panels = p.panels(), threads = thread_count();
  const int64_t parts =
      threads > 1 ? max<int64_t>(1, min(kWinogradTasksPerThread * threads, tiles / kWinogradMC)) : 1;
  const int64_t fitting = how_many(kWinogradTileBytes / (parts > 1 ? 2 : 1), p.square * 4, tiles);
  const int64_t tile_chunk = min(tiles, max(kWinogradMC, fitting / kWinogradMC * kWinogradMC));
  const int64_t panel_chunk = how_many(kWinogradKernelBytes, p.panel_size() * 4, panels);
  auto* kernels = scratch_of<float>(Scratch::kPacked, panel_chunk * p.panel_size());
  auto* memory = scratch_of<float>(Scratch::kPadded, parts * tile_chunk * p.square);
  for (int64_t first_panel = 0; first_panel < panels; first_panel += panel_chunk) {
    const int64_t panel_count = min(panel_chunk, panels - first_panel);
    p.transform_panels(first_panel, panel_count, kernels, true);
    in_parts(tiles, parts, [&](int64_t part, int64_t begin, int64_t end) {
      float* transformed = memory + part * tile_chunk * p.square;
      for (int64_t first = begin; first < end; first += tile_chunk) {
        const int64_t count = min(tile_chunk, end - first);
        p.transform_tiles(first, count, transformed, false);
        for (int64_t panel = 0; panel < panel_count; ++panel) {
          for (int64_t t = 0; t < count; t += kWinogradMC) {
            p.multiply_block(first + t, min(kWinogradMC, count - t), transformed + t * p.square,
                             first_panel + panel, kernels + panel * p.panel_size());
          }
        }
      }
    });
  }
}

/// Each thread transforms kernels of its own, by which it multiplies all tiles.
void multiply_by_panels(const Products& p) {
  const int64_t tiles = p.tiles(), panels = p.panels(), threads = thread_count();
  const int64_t parts = threads > 1 ? min(kWinogradTasksPerThread * threads, panels) : 1;
  auto* kernels = scratch_of<float>(Scratch::kPacked, parts * p.panel_size());
  auto* transformed = scratch_of<float>(Scratch::kPadded, tiles * p.square);
  p.transform_tiles(0, tiles, transformed, true);
  in_parts(panels, parts, [&](int64_t part, int64_t begin, int64_t end) {
    float* kernel = kernels + part * p.panel_size();
    for (int64_t panel = begin; panel < end; ++panel) {
      p.transform_panels(panel, 1, kernel, false);
      for (int64_t t = 0; t < tiles; t += kWinogradMC) {
        p.multiply_block(t, min(kWinogradMC, tiles - t), transformed + t * p.square, panel, kernel);
      }
    }
  });
}

void convolve(const WinogradTiles& tiles, const Convolution& c, bool turned, const float* input,
              const float* weight, const float* bias, float* output) {
  const Squares squares = {input,
                           c.channels,
                           c.height,
                           c.width,
                           c.padding_y,
                           c.padding_x,
                           divide_up(c.out_height, tiles.outputs),
                           divide_up(c.out_width, tiles.outputs),
                           tiles.side(),
                           tiles.outputs};
  const int64_t depth = squares.groups() * kWidth;
  const Products products = {tiles,  c,
                             turned, squares,
                             weight, bias,
                             output, odd_lines(tiles.points() * depth),
                             depth,  odd_lines(c.channels * kNR)};
  // What is less goes from core to core: kernels, or tiles and what becomes of them.
  const int64_t count = products.tiles();
  const bool few = c.channels * c.out_channels > count * (c.channels + c.out_channels);
  if (few && count * products.square * 4 <= kWinogradAllTilesBytes) {
    multiply_by_panels(products);
  } else {
    multiply_by_tiles(products);
  }
}

void convolve_grad_weight(const WinogradTiles& tiles, const Convolution& c, const float* grad_output,
                          const float* input, float* grad_weight) {
  const int64_t outputs = tiles.outputs, points = tiles.points();
  const int64_t down = divide_up(c.out_height, outputs), across = divide_up(c.out_width, outputs);
  const Squares pixels = {input,       c.channels, c.height, c.width,      c.padding_y,
                          c.padding_x, down,       across,   tiles.side(), outputs};
  const Squares grads = {grad_output, c.out_channels, c.out_height, c.out_width, 0,
                         0,           down,           across,       outputs,     outputs};
  const int64_t squares = c.batch * down * across, taps = c.channels * kTaps, weights = c.out_channels * taps;
  const int64_t row = odd_lines(pixels.groups() * kWidth), panel_row = odd_lines(grads.groups() * kWidth);
  const Parts parts(
      c.batch, weights,
      c.batch * (c.channels * c.height * c.width + c.out_channels * c.out_height * c.out_width));
  const int64_t chunk = how_many(kWinogradKernelBytes / parts.count, points * (row + panel_row) * 4, squares);
  const int64_t row_product = odd_lines(chunk * row), panel_product = odd_lines(chunk * panel_row);
  auto* row_memory = scratch_of<float>(Scratch::kPadded, parts.slots() * points * row_product);
  auto* panel_memory = scratch_of<float>(Scratch::kPacked, parts.slots() * points * panel_product);
  auto* sums_of_parts = scratch_of<float>(Scratch::kTransposed, (parts.count - 1) * weights);
  const int64_t blocks = divide_up(c.channels, kMR);
  const auto add_tiles = [&](int64_t part, int64_t slot, float* result) {
    const int64_t begin = parts.begin(part, c.batch) * down * across;
    const int64_t end = parts.begin(part + 1, c.batch) * down * across;
    const Transformed rows = {row_memory + slot * points * row_product, row_product, row};
    const Transformed panels = {panel_memory + slot * points * panel_product, panel_product, panel_row};
    for (int64_t first = begin; first < end; first += chunk) {
      const int64_t count = min(chunk, end - first);
      transform_squares(pixels, tiles.input, first, count, rows, !parts.apart);
      transform_squares(grads, tiles.grad_output, first, count, panels, !parts.apart);
      const auto multiply_blocks = [&](int64_t task, int64_t last) {
        alignas(64) float products[kMR * kMostPoints * kNR];
        alignas(64) float sums[kMR * kTaps * kNR];
        for (; task < last; ++task) {
          const int64_t n0 = task / blocks * kNR, columns = min<int64_t>(kNR, c.out_channels - n0);
          const int64_t c0 = task % blocks * kMR, channels = min<int64_t>(kMR, c.channels - c0);
          const float* row_of[kMR];
          for (int64_t i = 0; i < kMR; ++i) row_of[i] = rows.data + c0 + i;
          Product sums_of_tiles = {row_of,           channels,  columns,  count,
                                   panels.data + n0, panel_row, products, points * kNR};
          sums_of_tiles.points = {points, rows.product, panels.product, kNR};
          multiply(sums_of_tiles, Steps{row});
          tiles.grad_weight(products, channels, columns, sums);
          float* to = result + n0 * taps + c0 * kTaps;
          if (first == begin) {
            transpose<false>(sums, kNR, to, taps, channels * kTaps, columns);
          } else {
            transpose<true>(sums, kNR, to, taps, channels * kTaps, columns);
          }
        }
      };
      parallel(divide_up(c.out_channels, kNR) * blocks, multiply_blocks, !parts.apart);
    }
  };
  parts.sum(weights, sums_of_parts, grad_weight, add_tiles);
}

template <int kOutputs>
constexpr const WinogradTiles& kTiles = kOutputs == 4 ? kTilesOf4 : kTilesOf2;

}  // namespace

template <int kOutputs>
void winograd(const Convolution& c, const float* input, const float* weight, const float* bias,
              float* output) {
  convolve(kTiles<kOutputs>, c, false, input, weight, bias, output);
}

template <int kOutputs>
void winograd_grad_input(const Convolution& c, const float* grad_output, const float* weight,
                         float* grad_input) {
  convolve(kTiles<kOutputs>, turned(c), true, grad_output, weight, nullptr, grad_input);
}

template <int kOutputs>
void winograd_grad_weight(const Convolution& c, const float* grad_output, const float* input,
                          float* grad_weight, float* grad_bias) {
  convolve_grad_weight(kTiles<kOutputs>, c, grad_output, input, grad_weight);
  sum_bias(c, grad_output, grad_bias);
}

template void winograd<4>(const Convolution&, const float*, const float*, const float*, float*);
template void winograd_grad_input<4>(const Convolution&, const float*, const float*, float*);
template void winograd_grad_weight<4>(const Convolution&, const float*, const float*, float*, float*);
template void winograd<2>(const Convolution&, const float*, const float*, const float*, float*);
template void winograd_grad_input<2>(const Convolution&, const float*, const float*, float*);
template void winograd_grad_weight<2>(const Convolution&, const float*, const float*, float*, float*);

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
