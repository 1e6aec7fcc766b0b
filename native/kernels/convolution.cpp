#include "convolution.h"

#include <algorithm>
#include <limits>

#include "isa.h"

namespace edgetrain::kernels {
namespace {

/// A setting's (y, x), from a list with one number for both, or one per dimension of a 1-D or 2-D image.
struct Pair {
  int64_t y, x;
};
std::optional<Pair> pair_of(const EValue& value, bool one_dimensional, int64_t missing) {
  const auto list = value.toIntList();
  if (one_dimensional && list.size() == 1) return Pair{missing, list[0]};
  if (list.size() == 1) return Pair{list[0], list[0]};
  if (list.size() == 2 && !one_dimensional) return Pair{list[0], list[1]};
  return {};
}

/// Both operators have stride, padding, dilation, transposed, output padding and groups in a row.
std::optional<Convolution> describe(const Tensor& input, const Tensor& weight, Stack stack,
                                    size_t stride_at) {
  const bool one_dimensional = input.dim() == 3;
  if (!are_dense(input, weight) || input.dim() != weight.dim()) return {};
  if (!one_dimensional && input.dim() != 4) return {};
  const auto stride = pair_of(*stack[stride_at], one_dimensional, 1);
  const auto padding = pair_of(*stack[stride_at + 1], one_dimensional, 0);
  const auto dilation = pair_of(*stack[stride_at + 2], one_dimensional, 1);
  const bool transposed = stack[stride_at + 3]->toBool();
  const int64_t groups = stack[stride_at + 5]->toInt();
  if (!stride || !padding || !dilation || transposed || groups < 1) return {};
  Convolution c = {};
  c.batch = input.size(0);
  c.channels = input.size(1);
  c.height = one_dimensional ? 1 : input.size(2);
  c.width = input.size(input.dim() - 1);
  c.out_channels = weight.size(0);
  c.kernel_height = one_dimensional ? 1 : weight.size(2);
  c.kernel_width = weight.size(weight.dim() - 1);
  c.stride_y = stride->y, c.stride_x = stride->x;
  c.padding_y = padding->y, c.padding_x = padding->x;
  c.dilation_y = dilation->y, c.dilation_x = dilation->x;
  c.groups = groups;
  const bool valid = c.stride_y > 0 && c.stride_x > 0 && c.dilation_y > 0 && c.dilation_x > 0 &&
                     c.padding_y >= 0 && c.padding_x >= 0 && c.kernel_height > 0 && c.kernel_width > 0 &&
                     c.channels > 0 && c.out_channels > 0 && c.channels % groups == 0 &&
                     c.out_channels % groups == 0 && weight.size(1) * groups == c.channels;
  if (!valid) return {};
  const int64_t space_y = c.height + 2 * c.padding_y - c.dilation_y * (c.kernel_height - 1) - 1;
  const int64_t space_x = c.width + 2 * c.padding_x - c.dilation_x * (c.kernel_width - 1) - 1;
  if (space_y < 0 || space_x < 0) return {};
  c.out_height = space_y / c.stride_y + 1;
  c.out_width = space_x / c.stride_x + 1;
  // Places in an image are kept as 32-bit numbers.
  const int64_t largest =
      (space_y + c.dilation_y * c.kernel_height) * (space_x + c.dilation_x * c.kernel_width);
  if (largest * std::max(c.channels, c.out_channels) > std::numeric_limits<int32_t>::max()) return {};
  return c;
}

std::vector<int64_t> output_sizes(const Convolution& c, int64_t dims) {
  if (dims == 3) return {c.batch, c.out_channels, c.out_width};
  return {c.batch, c.out_channels, c.out_height, c.out_width};
}

/// (input, weight, bias?, stride, padding, dilation, transposed, output_padding, groups) → out
struct Forward {
  struct Plan {
    Convolution convolution;
    const float *input, *weight, *bias;
    float* output;
  };
  static constexpr char kName[] = "aten::convolution.out";
  static std::optional<Plan> plan(Stack stack) {
    const auto &input = stack[0]->toTensor(), &weight = stack[1]->toTensor(), &out = stack[9]->toTensor();
    const auto convolution = describe(input, weight, stack, 3);
    if (!convolution || !is_dense(out)) return {};
    const float* bias = nullptr;
    if (!stack[2]->isNone()) {
      const auto& tensor = stack[2]->toTensor();
      if (!is_dense(tensor) || tensor.numel() != convolution->out_channels) return {};
      bias = tensor.const_data_ptr<float>();
    }
    if (!resize(out, output_sizes(*convolution, input.dim()))) return {};
    return Plan{*convolution, input.const_data_ptr<float>(), weight.const_data_ptr<float>(), bias,
                out.mutable_data_ptr<float>()};
  }
  static void run(const Plan& p) {
    compute().convolution(p.convolution, p.input, p.weight, p.bias, p.output);
  }
};

/// (grad_output, input, weight, bias_sizes?, stride, padding, dilation, transposed, output_padding, groups,
/// output_mask) → (grad_input, grad_weight, grad_bias)
struct Backward {
  struct Plan {
    Convolution convolution;
    const float *grad_output, *input, *weight;
    float *grad_input, *grad_weight, *grad_bias;  // null where not asked for
  };
  static constexpr char kName[] = "aten::convolution_backward.out";
  static std::optional<Plan> plan(Stack stack) {
    const auto &grad = stack[0]->toTensor(), &input = stack[1]->toTensor(), &weight = stack[2]->toTensor();
    const auto convolution = describe(input, weight, stack, 4);
    if (!convolution || !is_dense(grad)) return {};
    if (sizes_of(grad) != output_sizes(*convolution, input.dim())) return {};
    Plan plan = {*convolution,
                 grad.const_data_ptr<float>(),
                 input.const_data_ptr<float>(),
                 weight.const_data_ptr<float>(),
                 nullptr,
                 nullptr,
                 nullptr};
    const auto mask = stack[10]->toBoolList();
    const std::vector<int64_t> sizes[] = {sizes_of(input), sizes_of(weight), {convolution->out_channels}};
    float** const results[] = {&plan.grad_input, &plan.grad_weight, &plan.grad_bias};
    for (size_t i = 0; i < 3; ++i) {
      if (!mask[i]) continue;
      const auto& out = stack[11 + i]->toTensor();
      if (!is_dense(out) || !resize(out, sizes[i])) return {};
      *results[i] = out.mutable_data_ptr<float>();
    }
    return plan;
  }
  static void run(const Plan& p) {
    const Convolution& c = p.convolution;
    if (p.grad_input) compute().convolution_grad_input(c, p.grad_output, p.weight, p.grad_input);
    if (p.grad_weight) {
      compute().convolution_grad_weight(c, p.grad_output, p.input, p.grad_weight, p.grad_bias);
    } else if (p.grad_bias) {
      compute().sum_channels(p.grad_output, c.batch, c.out_channels, c.out_height * c.out_width, p.grad_bias);
    }
  }
};

}  // namespace

std::vector<Kernel> convolution_kernels() { return {boxed<Forward>(), boxed<Backward>()}; }

}  // namespace edgetrain::kernels
