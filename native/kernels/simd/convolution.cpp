// Which method convolves: the first row of a table that fits a shape, in the direction asked for.
#include <edgetrain_build/convolutions.h>

#include "convolution_methods.h"
#include "functions.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

enum class Direction { kForward, kGradInput, kGradWeight };

constexpr bool is_depthwise(const Convolution& c, Direction) { return c.depthwise(); }

/// Output pixels along the side of Winograd's tiles, 4 or 2, or 0 where the direct convolution takes less: by
/// multiply-adds, with transforms counted as some per point of a square's channel, and of a kernel.
constexpr int winograd_outputs(const Convolution& c) {
  const bool fits = c.kernel_height == 3 && c.kernel_width == 3 && c.stride_y == 1 && c.stride_x == 1 &&
                    c.dilation_y == 1 && c.dilation_x == 1 && c.groups == 1;
  if (!fits || c.channels < kWinogradLeastChannels) return 0;
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

template <int kOutputs>
constexpr bool pays_winograd(const Convolution& c, Direction direction) {
  return winograd_outputs(direction == Direction::kGradInput ? turned(c) : c) == kOutputs;
}

constexpr bool is_narrow(const Convolution& c, Direction direction) {
  const int64_t taps = c.channels * c.kernel_height * c.kernel_width;
  const bool fits = c.groups == 1 && c.stride_x == 1 && c.out_width >= kWidth && taps <= kNarrowMostTaps;
  if (direction == Direction::kForward) return fits;
  return fits && direction == Direction::kGradWeight && c.out_channels * taps <= kNarrowMostWeights &&
         c.out_width % kWidth == 0;
}

constexpr bool is_any(const Convolution&, Direction) { return true; }

/// A way to convolve, and for what. Functions are null in directions that `fits` never says yes to.
struct Method {
  bool (*fits)(const Convolution& c, Direction direction);
  decltype(&convolution) forward;
  decltype(&convolution_grad_input) grad_input;
  decltype(&convolution_grad_weight) grad_weight;

  constexpr bool has(Direction direction) const {
    return direction == Direction::kForward     ? forward != nullptr
           : direction == Direction::kGradInput ? grad_input != nullptr
                                                : grad_weight != nullptr;
  }
};
struct Methods {
  static constexpr int kCount = 5;
  Method of[kCount];

  constexpr int first(const Convolution& c, Direction direction) const {
    int i = 0;
    while (!of[i].has(direction) || !of[i].fits(c, direction)) ++i;
    return i;
  }
};

constexpr Methods kAll = {{
    // Every channel has a kernel of its own. As a matrix product it would have one column.
    {is_depthwise, depthwise, depthwise_grad_input, depthwise_grad_weight},
    // 3x3 with stride 1: 36 products instead of 144 per 4x4 pixels of output.
    {pays_winograd<4>, winograd<4>, winograd_grad_input<4>, winograd_grad_weight<4>},
    // The same in images that fill no tiles of 4x4: 16 products instead of 36 per 2x2 pixels.
    {pays_winograd<2>, winograd<2>, winograd_grad_input<2>, winograd_grad_weight<2>},
    // First layers. Vectors of their few channels would be mostly empty, those of pixels are full.
    {is_narrow, narrow, nullptr, narrow_grad_weight},
    // All others: strides, dilation, groups and kernels of any size.
    {is_any, direct, direct_grad_input, direct_grad_weight},
}};

/// The methods, as bits, that the convolutions this build is for take with any number of images; all of them
/// in a build for any convolution, and the last one always.
constexpr unsigned taken(Direction direction) {
  constexpr Convolution kConvolutions[] = {EDGETRAIN_CONVOLUTIONS};
  unsigned found = EDGETRAIN_ANY_CONVOLUTION ? ~0U : 1U << (Methods::kCount - 1);
  for (const Convolution& most : kConvolutions) {
    Convolution c = most;
    for (c.batch = 1; c.batch <= most.batch; ++c.batch) found |= 1U << kAll.first(c, direction);
  }
  // Where code has to be small, others take over what these do faster: processors without AVX2 are rare.
  constexpr unsigned kTiles = 1U << 1 | 1U << 2, kNarrow = 1U << 3;
  return EDGETRAIN_ISA_SMALL && EDGETRAIN_ANY_CONVOLUTION ? found & ~(kTiles | kNarrow) : found;
}

/// Without the functions that are never called, which the linker leaves out then.
constexpr Methods only_taken() {
  Methods methods = kAll;
  const unsigned forward = taken(Direction::kForward), grad_input = taken(Direction::kGradInput),
                 grad_weight = taken(Direction::kGradWeight);
  for (int i = 0; i < Methods::kCount; ++i) {
    Method& method = methods.of[i];
    if ((forward >> i & 1) == 0) method.forward = nullptr;
    if ((grad_input >> i & 1) == 0) method.grad_input = nullptr;
    if ((grad_weight >> i & 1) == 0) method.grad_weight = nullptr;
  }
  return methods;
}

constexpr Methods kMethods = only_taken();

const Method& method_of(const Convolution& c, Direction direction) {
  return kMethods.of[kMethods.first(c, direction)];
}

}  // namespace

void sum_bias(const Convolution& c, const float* grad_output, float* grad_bias) {
  if (grad_bias == nullptr) return;
  sum_channels(grad_output, c.batch, c.out_channels, c.out_height * c.out_width, grad_bias);
}

void convolution(const Convolution& c, const float* input, const float* weight, const float* bias,
                 float* output) {
  method_of(c, Direction::kForward).forward(c, input, weight, bias, output);
}

void convolution_grad_input(const Convolution& c, const float* grad_output, const float* weight,
                            float* grad_input) {
  method_of(c, Direction::kGradInput).grad_input(c, grad_output, weight, grad_input);
}

void convolution_grad_weight(const Convolution& c, const float* grad_output, const float* input,
                             float* grad_weight, float* grad_bias) {
  method_of(c, Direction::kGradWeight).grad_weight(c, grad_output, input, grad_weight, grad_bias);
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
