#include "winograd_tiles.h"

#include "convolution_methods.h"
#include "padding.h"
#include "transpose.h"
#include "winograd.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

template <auto kLine, int kSide, int kStep, int kTo>
void transform_squares(const float* pixels, int64_t row, int64_t count, const Transformed& to) {
  const int64_t product = to.product;
  for (int64_t i = 0; i < count; ++i) {
    const float* corner = pixels + i * kStep * kWidth;
    float* target = to.data + i * to.square;
    both_ways<kLine, kSide, kTo>(
        [&](int y, int x) { return load(corner + y * row + x * kWidth); },
        [&](int y, int x, Vector value) { store(target + (y * kTo + x) * product, value); });
  }
}

template <int kOutputs>
void transform_weight(const WinogradWeight& w, int64_t begin, int64_t end, float* to) {
  constexpr int64_t kSide = kOutputs + 2;
  const int64_t column_step = w.turned ? kTaps : w.channels * kTaps;
  const int64_t depth_step = w.turned ? w.out_channels * kTaps : kTaps;
  const int64_t product = w.product(), blocks = w.blocks();
  alignas(64) float taps[kWinogradDepths * kTaps * kNR] = {};
  for (int64_t task = begin; task < end; ++task) {
    const int64_t panel = task / blocks, n0 = (w.first_panel + panel) * kNR;
    const int64_t columns = min<int64_t>(kNR, w.out_channels - n0), d0 = task % blocks * kWinogradDepths;
    const int64_t depths = min(w.channels - d0, kWinogradDepths), together = w.turned ? 1 : depths;
    for (int64_t i = 0; i < depths; i += together) {
      transpose(w.data + n0 * column_step + (d0 + i) * depth_step, column_step, taps + i * kTaps * kNR, kNR,
                columns, together * kTaps);
    }
    for (int64_t i = 0; i < depths; ++i) {
      for (int64_t n = 0; n < columns; n += kWidth) {
        const float* from = taps + i * kTaps * kNR + n;
        float* target = to + panel * kSide * kSide * product + (d0 + i) * kNR + n;
        both_ways<Winograd<kOutputs>::weight, 3, kSide>(
            [&](int y, int x) {
              const int tap = 3 * y + x;
              return load(from + (w.turned ? kTaps - 1 - tap : tap) * kNR);
            },
            [&](int y, int x, Vector value) { store(target + (y * kSide + x) * product, value); });
      }
    }
  }
}

template <int kOutputs>
void transform_products(const float* products, int64_t count, int64_t columns, const float* bias,
                        float* pixels, int64_t row) {
  constexpr int kSide = kOutputs + 2;
  for (int64_t i = 0; i < count; ++i, products += kSide * kSide * kNR) {
    for (int64_t n = 0; n < columns; n += kWidth) {
      float* to = pixels + i * kOutputs * kNR + n;
      const Vector start = bias != nullptr ? load_part(bias + n, columns - n) : Vector{};
      both_ways<Winograd<kOutputs>::output, kSide, kOutputs>(
          [&](int y, int x) { return load(products + (y * kSide + x) * kNR + n); },
          [&](int y, int x, Vector value) { store(to + y * row + x * kNR, value + start); });
    }
  }
}

template <int kOutputs>
void transform_sums(const float* products, int64_t count, int64_t columns, float* kernels) {
  constexpr int kSide = kOutputs + 2;
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t n = 0; n < columns; n += kWidth) {
      const float* from = products + i * kSide * kSide * kNR + n;
      float* to = kernels + i * kTaps * kNR + n;
      both_ways<Winograd<kOutputs>::grad_weight, kSide, 3>(
          [&](int y, int x) { return load(from + (y * kSide + x) * kNR); },
          [&](int y, int x, Vector value) { store(to + (3 * y + x) * kNR, value); });
    }
  }
}

template <int kOutputs>
constexpr WinogradTiles kTiles = {
    kOutputs,
    transform_squares<Winograd<kOutputs>::input, kOutputs + 2, kOutputs, kOutputs + 2>,
    transform_squares<Winograd<kOutputs>::grad_output, kOutputs, kOutputs, kOutputs + 2>,
    transform_weight<kOutputs>,
    transform_products<kOutputs>,
    transform_sums<kOutputs>};

}  // namespace

const WinogradTiles kTilesOf4 = kTiles<4>, kTilesOf2 = kTiles<2>;

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
