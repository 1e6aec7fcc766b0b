// 3x3 convolutions of stride 1 by tiles of 4x4 or 2x2 output pixels. Vectors hold channels: the transforms
// work on (6 or 4)^2 vectors at a time, and between them there is one matrix product per point, of tiles with
// input channels by input channels with output channels.
#include "winograd.h"

#include "functions.h"
#include "padding.h"
#include "parts.h"
#include "tile.h"
#include "transpose.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

constexpr int kTaps = 9;
/// Most bytes of transformed images and of transformed kernels at a time, and of all images at once.
constexpr int64_t kTileBytes = 256 << 10, kKernelBytes = 1152 << 10, kAllTilesBytes = 2 << 20;
/// Tiles per task: their products, of one panel, stay in the second-level cache.
constexpr int64_t kBlockTiles = 2 * kTileRows;
/// Tiles of a row that are read at once.
constexpr int64_t kRun = 8;

/// At least that many floats, an odd number of cache lines: steps that are powers of two would leave most of
/// a cache unused.
int64_t odd_lines(int64_t floats) { return (divide_up(floats, 16) | 1) * 16; }

/// Images, cut into squares kStep apart, the first of which begins at pixel (-top, -left).
struct Squares {
  const float* data;
  int64_t channels, height, width, top, left;
  int64_t down, across;  // squares per image

  int64_t groups() const { return divide_up(channels, kWidth); }
};

/// Where transformed squares go: `product` and `square` are steps.
struct Transformed {
  float* data;
  int64_t product, square;
};

/// `count` squares of a row, of a group of channels, with zeros around the image, in
/// to[kSize][kStep * kRun + kSize - kStep][kWidth].
template <int kSize, int kStep>
void read_run(const Squares& from, int64_t image, int64_t group, int64_t row, int64_t column, int64_t count,
              float* to) {
  const int64_t channels = min<int64_t>(kWidth, from.channels - group * kWidth);
  const int64_t y0 = row * kStep - from.top, x0 = column * kStep - from.left;
  const int64_t width = count * kStep + kSize - kStep;
  const int64_t begin = max<int64_t>(0, -x0), end = min(width, from.width - x0);
  const int64_t first_y = max<int64_t>(0, -y0), end_y = min<int64_t>(kSize, from.height - y0);
  if (channels < kWidth || begin > 0 || end < width || first_y > 0 || end_y < kSize) {
    __builtin_memset(to, 0, static_cast<size_t>(kSize * width * kWidth) * sizeof(float));
  }
  if (begin >= end) return;
  const int64_t plane = from.height * from.width;
  const float* corner = from.data + (image * from.channels + group * kWidth) * plane + y0 * from.width + x0;
  for (int64_t y = first_y; y < end_y; ++y) {
    transpose(corner + y * from.width + begin, plane, to + (y * width + begin) * kWidth, kWidth, channels,
              end - begin);
  }
}

/// Squares [first, first + count), all channels, through kLine; by all threads, or by this one alone.
template <auto kLine, int kSize, int kStep, int kTo>
void transform_squares(const Squares& from, int64_t first, int64_t count, const Transformed& to,
                       bool all_threads) {
  const int64_t runs = divide_up(count, kRun), groups = from.groups(), product = to.product;
  const auto transform = [&](int64_t begin, int64_t end) {
    alignas(64) float pixels[kSize * (kStep * kRun + kSize - kStep) * kWidth];
    for (int64_t task = begin; task < end; ++task) {
      const int64_t group = task % groups, last = min(first + count, first + (task / groups + 1) * kRun);
      for (int64_t square = first + task / groups * kRun; square < last;) {
        const int64_t column = square % from.across, row = square / from.across % from.down;
        const int64_t together = min(last - square, from.across - column);
        read_run<kSize, kStep>(from, square / from.across / from.down, group, row, column, together, pixels);
        const int64_t width = (together * kStep + kSize - kStep) * kWidth;
        for (int64_t i = 0; i < together; ++i) {
          const float* corner = pixels + i * kStep * kWidth;
          float* target = to.data + (square - first + i) * to.square + group * kWidth;
          both_ways<kLine, kSize, kTo>(
              [&](int y, int x) { return load(corner + y * width + x * kWidth); },
              [&](int y, int x, Vector value) { store(target + (y * kTo + x) * product, value); });
        }
        square += together;
      }
    }
  };
  parallel(runs * groups, transform, all_threads);
}

/// [kProducts][channels][kPanel] per panel of output channels. `turned` is the convolution of the input's
/// gradient: the weight's first two dimensions are exchanged, its elements go backwards.
template <int kOutputs>
void transform_weight(const Convolution& c, const float* weight, bool turned, int64_t first_panel,
                      int64_t panels, float* to, bool all_threads) {
  constexpr int64_t kTile = kOutputs + 2, kDepths = 16;
  const int64_t column_step = turned ? kTaps : c.channels * kTaps;
  const int64_t depth_step = turned ? c.out_channels * kTaps : kTaps;
  const int64_t product = odd_lines(c.channels * kPanel), blocks = divide_up(c.channels, kDepths);
  const auto transform = [&](int64_t begin, int64_t end) {
    alignas(64) float taps[kDepths * kTaps * kPanel] = {};
    for (int64_t task = begin; task < end; ++task) {
      const int64_t panel = task / blocks, n0 = (first_panel + panel) * kPanel;
      const int64_t columns = min<int64_t>(kPanel, c.out_channels - n0), d0 = task % blocks * kDepths;
      const int64_t depths = min(c.channels - d0, kDepths), together = turned ? 1 : depths;
      for (int64_t i = 0; i < depths; i += together) {
        transpose(weight + n0 * column_step + (d0 + i) * depth_step, column_step, taps + i * kTaps * kPanel,
                  kPanel, columns, together * kTaps);
      }
      for (int64_t i = 0; i < depths; ++i) {
        for (int64_t n = 0; n < columns; n += kWidth) {
          const float* from = taps + i * kTaps * kPanel + n;
          float* target = to + panel * kTile * kTile * product + (d0 + i) * kPanel + n;
          both_ways<Winograd<kOutputs>::weight, 3, kTile>(
              [&](int y, int x) {
                const int tap = 3 * y + x;
                return load(from + (turned ? kTaps - 1 - tap : tap) * kPanel);
              },
              [&](int y, int x, Vector value) { store(target + (y * kTile + x) * product, value); });
        }
      }
    }
  };
  parallel(panels * blocks, transform, all_threads);
}

/// What a convolution makes of its images' tiles, panel by panel of output channels.
template <int kOutputs>
struct Products {
  static constexpr int kTile = kOutputs + 2, kPoints = kTile * kTile;

  const Convolution& c;
  bool turned;
  Squares squares;
  const float *weight, *bias;
  float* output;
  // Steps between transformed tiles, their points, and the points of transformed kernels.
  int64_t square, depth, product;

  int64_t tiles() const { return c.batch * squares.down * squares.across; }
  int64_t panels() const { return divide_up(c.out_channels, kPanel); }
  int64_t panel_size() const { return kPoints * product; }

  void transform_tiles(int64_t first, int64_t count, float* to, bool all_threads) const {
    transform_squares<Winograd<kOutputs>::input, kTile, kOutputs, kTile>(squares, first, count,
                                                                         {to, depth, square}, all_threads);
  }
  void transform_panels(int64_t first, int64_t count, float* to, bool all_threads) const {
    transform_weight<kOutputs>(c, weight, turned, first, count, to, all_threads);
  }
  /// Output pixels of tiles [first, first + count), at most kBlockTiles.
  void multiply_block(int64_t first, int64_t count, const float* transformed, int64_t panel,
                      const float* kernels) const {
    alignas(64) float products[kBlockTiles * kPoints * kPanel];
    alignas(64) float pixels[kOutputs * kOutputs * kRun * kPanel];
    const int64_t n0 = panel * kPanel, columns = min<int64_t>(kPanel, c.out_channels - n0);
    const float* rows[kBlockTiles];
    for (int64_t i = 0; i < count; ++i) rows[i] = transformed + i * square;
    Product product_of_tiles = {rows,    count,  columns,  c.channels,
                                kernels, kPanel, products, kPoints * kPanel};
    product_of_tiles.points = {kPoints, depth, product, kPanel};
    multiply(product_of_tiles, Steps{1});
    const float* from = products;
    for (int64_t tile = first; tile < first + count;) {
      const int64_t row = tile / squares.across, column = tile % squares.across;
      const int64_t together = min(min(kRun, first + count - tile), squares.across - column);
      const int64_t line = together * kOutputs * kPanel;
      for (int64_t i = 0; i < together; ++i, from += kPoints * kPanel) {
        for (int64_t n = 0; n < columns; n += kWidth) {
          float* to = pixels + i * kOutputs * kPanel + n;
          const Vector start = bias != nullptr ? load_part(bias + n0 + n, columns - n) : Vector{};
          both_ways<Winograd<kOutputs>::output, kTile, kOutputs>(
              [&](int y, int x) { return load(from + (y * kTile + x) * kPanel + n); },
              [&](int y, int x, Vector value) { store(to + y * line + x * kPanel, value + start); });
        }
      }
      const int64_t image = row / squares.down, y0 = row % squares.down * kOutputs, x0 = column * kOutputs;
      const int64_t height = min<int64_t>(kOutputs, c.out_height - y0);
      const int64_t width = min(together * kOutputs, c.out_width - x0), plane = c.out_height * c.out_width;
      float* to = output + (image * c.out_channels + n0) * plane + y0 * c.out_width + x0;
      for (int64_t y = 0; y < height; ++y) {
        transpose(pixels + y * line, kPanel, to + y * c.out_width, plane, width, columns);
      }
      tile += together;
    }
  }
};

/// Each thread transforms tiles of its own and multiplies them by all kernels.
template <int kOutputs>
void multiply_by_tiles(const Products<kOutputs>& p) {
  const int64_t tiles = p.tiles(), panels = p.panels(), threads = thread_count();
  const int64_t parts = threads > 1 ? max<int64_t>(1, min(2 * threads, tiles / (2 * kTileRows))) : 1;
  const int64_t fitting = how_many(kTileBytes / (parts > 1 ? 2 : 1), p.square * 4, tiles);
  const int64_t tile_chunk = min(tiles, max(kBlockTiles, fitting / kBlockTiles * kBlockTiles));
  const int64_t panel_chunk = how_many(kKernelBytes, p.panel_size() * 4, panels);
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
          for (int64_t t = 0; t < count; t += kBlockTiles) {
            p.multiply_block(first + t, min(kBlockTiles, count - t), transformed + t * p.square,
                             first_panel + panel, kernels + panel * p.panel_size());
          }
        }
      }
    });
  }
}

/// Each thread transforms kernels of its own, by which it multiplies all tiles.
template <int kOutputs>
void multiply_by_panels(const Products<kOutputs>& p) {
  const int64_t tiles = p.tiles(), panels = p.panels(), threads = thread_count();
  const int64_t parts = threads > 1 ? min(2 * threads, panels) : 1;
  auto* kernels = scratch_of<float>(Scratch::kPacked, parts * p.panel_size());
  auto* transformed = scratch_of<float>(Scratch::kPadded, tiles * p.square);
  p.transform_tiles(0, tiles, transformed, true);
  in_parts(panels, parts, [&](int64_t part, int64_t begin, int64_t end) {
    float* kernel = kernels + part * p.panel_size();
    for (int64_t panel = begin; panel < end; ++panel) {
      p.transform_panels(panel, 1, kernel, false);
      for (int64_t t = 0; t < tiles; t += kBlockTiles) {
        p.multiply_block(t, min(kBlockTiles, tiles - t), transformed + t * p.square, panel, kernel);
      }
    }
  });
}

template <int kOutputs>
void convolve(const Convolution& c, bool turned, const float* input, const float* weight, const float* bias,
              float* output) {
  const Squares squares = {input,
                           c.channels,
                           c.height,
                           c.width,
                           c.padding_y,
                           c.padding_x,
                           divide_up(c.out_height, kOutputs),
                           divide_up(c.out_width, kOutputs)};
  const int64_t depth = squares.groups() * kWidth;
  const Products<kOutputs> products = {c,
                                       turned,
                                       squares,
                                       weight,
                                       bias,
                                       output,
                                       odd_lines(Products<kOutputs>::kPoints * depth),
                                       depth,
                                       odd_lines(c.channels * kPanel)};
  // What is less goes from core to core: kernels, or tiles and what becomes of them.
  const int64_t tiles = products.tiles();
  const bool few = c.channels * c.out_channels > tiles * (c.channels + c.out_channels);
  if (few && tiles * products.square * 4 <= kAllTilesBytes) {
    multiply_by_panels(products);
  } else {
    multiply_by_tiles(products);
  }
}

template <int kOutputs>
void grad_weight_of(const Convolution& c, const float* grad_output, const float* input, float* grad_weight) {
  constexpr int kTile = kOutputs + 2, kPoints = kTile * kTile;
  const int64_t down = divide_up(c.out_height, kOutputs), across = divide_up(c.out_width, kOutputs);
  const Squares pixels = {input, c.channels, c.height, c.width, c.padding_y, c.padding_x, down, across};
  const Squares grads = {grad_output, c.out_channels, c.out_height, c.out_width, 0, 0, down, across};
  const int64_t tiles = c.batch * down * across, taps = c.channels * kTaps, weights = c.out_channels * taps;
  if (tiles == 0) return void(__builtin_memset(grad_weight, 0, static_cast<size_t>(weights) * sizeof(float)));
  const int64_t row = odd_lines(pixels.groups() * kWidth), panel_row = odd_lines(grads.groups() * kWidth);
  const Parts parts(
      c.batch, weights,
      c.batch * (c.channels * c.height * c.width + c.out_channels * c.out_height * c.out_width));
  const int64_t chunk = how_many(kKernelBytes / parts.count, kPoints * (row + panel_row) * 4, tiles);
  const int64_t row_product = odd_lines(chunk * row), panel_product = odd_lines(chunk * panel_row);
  auto* row_memory = scratch_of<float>(Scratch::kPadded, parts.slots() * kPoints * row_product);
  auto* panel_memory = scratch_of<float>(Scratch::kPacked, parts.slots() * kPoints * panel_product);
  auto* sums_of_parts = scratch_of<float>(Scratch::kTransposed, (parts.count - 1) * weights);
  const int64_t blocks = divide_up(c.channels, kTileRows);
  const auto add_tiles = [&](int64_t part, int64_t slot, float* result) {
    const int64_t begin = parts.begin(part, c.batch) * down * across;
    const int64_t end = parts.begin(part + 1, c.batch) * down * across;
    const Transformed rows = {row_memory + slot * kPoints * row_product, row_product, row};
    const Transformed panels = {panel_memory + slot * kPoints * panel_product, panel_product, panel_row};
    for (int64_t first = begin; first < end; first += chunk) {
      const int64_t count = min(chunk, end - first);
      transform_squares<Winograd<kOutputs>::input, kTile, kOutputs, kTile>(pixels, first, count, rows,
                                                                           !parts.apart);
      transform_squares<Winograd<kOutputs>::grad_output, kOutputs, kOutputs, kTile>(grads, first, count,
                                                                                    panels, !parts.apart);
      const auto multiply_blocks = [&](int64_t task, int64_t last) {
        alignas(64) float products[kTileRows * kPoints * kPanel];
        alignas(64) float sums[kTileRows * kTaps * kPanel];
        for (; task < last; ++task) {
          const int64_t n0 = task / blocks * kPanel, columns = min<int64_t>(kPanel, c.out_channels - n0);
          const int64_t c0 = task % blocks * kTileRows, channels = min<int64_t>(kTileRows, c.channels - c0);
          const float* row_of[kTileRows];
          for (int64_t i = 0; i < kTileRows; ++i) row_of[i] = rows.data + c0 + i;
          Product sums_of_tiles = {row_of,           channels,  columns,  count,
                                   panels.data + n0, panel_row, products, kPoints * kPanel};
          sums_of_tiles.points = {kPoints, rows.product, panels.product, kPanel};
          multiply(sums_of_tiles, Steps{row});
          for (int64_t i = 0; i < channels; ++i) {
            for (int64_t n = 0; n < columns; n += kWidth) {
              const float* from = products + i * kPoints * kPanel + n;
              float* to = sums + i * kTaps * kPanel + n;
              both_ways<Winograd<kOutputs>::grad_weight, kTile, 3>(
                  [&](int y, int x) { return load(from + (y * kTile + x) * kPanel); },
                  [&](int y, int x, Vector value) { store(to + (3 * y + x) * kPanel, value); });
            }
          }
          float* to = result + n0 * taps + c0 * kTaps;
          if (first == begin) {
            transpose<false>(sums, kPanel, to, taps, channels * kTaps, columns);
          } else {
            transpose<true>(sums, kPanel, to, taps, channels * kTaps, columns);
          }
        }
      };
      parallel(divide_up(c.out_channels, kPanel) * blocks, multiply_blocks, !parts.apart);
    }
  };
  parts.sum(weights, sums_of_parts, grad_weight, add_tiles);
}

/// Output pixels along a tile's side, or 0 where the direct convolution takes less: by multiply-adds, with
/// transforms counted as some per point of a square's channel, and of a kernel.
int outputs_of(const Convolution& c) {
  const bool fits = c.kernel_height == 3 && c.kernel_width == 3 && c.stride_y == 1 && c.stride_x == 1 &&
                    c.dilation_y == 1 && c.dilation_x == 1 && c.groups == 1;
  // Vectors of the first layer's three channels would be mostly empty.
  if (!fits || c.channels < 8) return 0;
  constexpr int64_t kPerSquare = 4, kPerKernel = 2;
  const int64_t kernels = c.channels * c.out_channels, squares = c.channels + c.out_channels;
  int best = 0;
  int64_t least = c.batch * c.out_height * c.out_width * kTaps * kernels;
  for (const int outputs : {4, 2}) {
    const int64_t tiles = c.batch * divide_up(c.out_height, outputs) * divide_up(c.out_width, outputs);
    const int64_t points = (outputs + 2) * (outputs + 2);
    const int64_t work = points * (tiles * (kernels + kPerSquare * squares) + kPerKernel * kernels);
    if (work < least) best = outputs, least = work;
  }
  return best;
}

}  // namespace

bool winograd(const Convolution& c, bool turned, const float* input, const float* weight, const float* bias,
              float* output) {
  const int outputs = outputs_of(c);
  if (outputs == 4) convolve<4>(c, turned, input, weight, bias, output);
  if (outputs == 2) convolve<2>(c, turned, input, weight, bias, output);
  return outputs != 0;
}

bool winograd_grad_weight(const Convolution& c, const float* grad_output, const float* input,
                          float* grad_weight) {
  const int outputs = outputs_of(c);
  if (outputs == 4) grad_weight_of<4>(c, grad_output, input, grad_weight);
  if (outputs == 2) grad_weight_of<2>(c, grad_output, input, grad_weight);
  return outputs != 0;
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
