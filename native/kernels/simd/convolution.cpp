// Which method convolves: the first row of a table that fits a shape, in the direction asked for.
#include "convolution_methods.h"
#include "functions.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

enum class Direction { kForward, kGradInput, kGradWeight };

bool is_depthwise(const Convolution& c, Direction) { return c.depthwise(); }

/// Output pixels along the side of Winograd's tiles, 4 or 2, or 0 where the direct convolution takes less: by
/// multiply-adds, with transforms counted as some per point of a square's channel, and of a kernel.
int winograd_outputs(const Convolution& c) {
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
bool pays_winograd(const Convolution& c, Direction direction) {
  return winograd_outputs(direction == Direction::kGradInput ? turned(c) : c) == kOutputs;
}

bool is_narrow(const Convolution& c, Direction direction) {
  const int64_t taps = c.channels * c.kernel_height * c.kernel_width;
  const bool fits = c.groups == 1 && c.stride_x == 1 && c.out_width >= kWidth && taps <= kNarrowMostTaps;
  if (direction == Direction::kForward) return fits;
  return fits && direction == Direction::kGradWeight && c.out_channels * taps <= kNarrowMostWeights &&
         c.out_width % kWidth == 0;
}

bool is_any(const Convolution&, Direction) { return true; }

/// A way to convolve, and for what. Functions are null in directions that `fits` never says yes to.
struct Method {
  bool (*fits)(const Convolution& c, Direction direction);
  decltype(&convolution) forward;
  decltype(&convolution_grad_input) grad_input;
  decltype(&convolution_grad_weight) grad_weight;
};

constexpr Method kMethods[] = {
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
};

const Method& method_of(const Convolution& c, Direction direction) {
  const Method* method = kMethods;
  while (!method->fits(c, direction)) ++method;
  return *method;
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
