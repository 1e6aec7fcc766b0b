// The transforms of Winograd's method, for its two sizes of tiles.
#pragma once

#include "vector.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

/// At least that many floats, an odd number of cache lines: steps that are powers of two would leave most of
/// a cache unused.
inline int64_t odd_lines(int64_t floats) { return (divide_up(floats, 16) | 1) * 16; }

/// Where transformed squares go: `product` is the step between their points, `square` the one between them.
struct Transformed {
  float* data;
  int64_t product, square;
};

/// A 3x3 kernel per pair of channels, of which panels of kNR output channels are transformed, in blocks of
/// kWinogradDepths input channels. `turned` is the convolution of the input's gradient: the weight's first
/// two dimensions are exchanged, its elements go backwards.
struct WinogradWeight {
  const float* data;
  int64_t channels, out_channels;
  bool turned;
  int64_t first_panel;

  int64_t blocks() const { return divide_up(channels, kWinogradDepths); }  // of a panel
  int64_t product() const { return odd_lines(channels * kNR); }
};

/// Tiles of outputs x outputs pixels, which come from squares with a side of two pixels more, and have a
/// product per pixel of those. Every function works on vectors of channels, of which `columns` are full of
/// them.
struct WinogradTiles {
  int64_t outputs;
  /// Squares of neighbouring pixels [side][row], or of gradients [outputs][row], `outputs` pixels apart.
  void (*input)(const float* pixels, int64_t row, int64_t count, const Transformed& to);
  void (*grad_output)(const float* pixels, int64_t row, int64_t count, const Transformed& to);
  /// Blocks [begin, end) of a weight to [points][channels][kNR] per panel, with a step of product() per
  /// point.
  void (*weight)(const WinogradWeight& weight, int64_t begin, int64_t end, float* to);
  /// Products [count][points][kNR] to neighbouring pixels [outputs][row].
  /// @param bias [columns], or null
  void (*output)(const float* products, int64_t count, int64_t columns, const float* bias, float* pixels,
                 int64_t row);
  /// Products [count][points][kNR] to kernels [count][9][kNR].
  void (*grad_weight)(const float* products, int64_t count, int64_t columns, float* kernels);

  int64_t side() const { return outputs + 2; }
  int64_t points() const { return side() * side(); }
};

constexpr int64_t kMostOutputs = 4, kMostSide = kMostOutputs + 2, kMostPoints = kMostSide * kMostSide;

extern const WinogradTiles kTilesOf4, kTilesOf2;

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
