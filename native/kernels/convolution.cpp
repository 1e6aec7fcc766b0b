#include "convolution.h"

#include <algorithm>
#include <limits>

#include "compute.h"

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

/// One that isn't transposed, of an input of those sizes. Both operators have stride, padding, dilation,
/// transposed, output padding and groups in a row.
std::optional<Convolution> describe(const std::vector<int64_t>& input, const Tensor& weight, Stack stack,
                                    size_t stride_at) {
  const bool one_dimensional = input.size() == 3;
  if (static_cast<ssize_t>(input.size()) != weight.dim()) return {};
  if (!one_dimensional && input.size() != 4) return {};
  const auto stride = pair_of(*stack[stride_at], one_dimensional, 1);
  const auto padding = pair_of(*stack[stride_at + 1], one_dimensional, 0);
  const auto dilation = pair_of(*stack[stride_at + 2], one_dimensional, 1);
  const int64_t groups = stack[stride_at + 5]->toInt();
  if (!stride || !padding || !dilation || groups < 1) return {};
  Convolution c = {};
  c.batch = input[0];
  c.channels = input[1];
  c.height = one_dimensional ? 1 : input[2];
  c.width = input.back();
  c.out_channels = weight.size(0);
  c.kernel_height = one_dimensional ? 1 : weight.size(2);
  c.kernel_width = weight.size(weight.dim() - 1);
  c.stride_y = stride->y, c.stride_x = stride->x;
  c.padding_y = padding->y, c.padding_x = padding->x;
  c.dilation_y = dilation->y, c.dilation_x = dilation->x;
  c.groups = groups;
  require(c.stride_y > 0 && c.stride_x > 0, "a convolution's stride");
  const bool valid = c.dilation_y > 0 && c.dilation_x > 0 && c.padding_y >= 0 && c.padding_x >= 0 &&
                     c.kernel_height > 0 && c.kernel_width > 0 && c.channels > 0 && c.out_channels > 0 &&
                     c.channels % groups == 0 && c.out_channels % groups == 0 &&
                     weight.size(1) * groups == c.channels;
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
std::vector<int64_t> input_sizes(const Convolution& c, int64_t dims) {
  if (dims == 3) return {c.batch, c.channels, c.width};
  return {c.batch, c.channels, c.height, c.width};
}

/// The convolution whose input's gradient a transposed one is: from images as that returns to such as it
/// takes.
std::optional<Convolution> describe_transposed(const Tensor& images, const Tensor& weight, Stack stack) {
  const int64_t dims = images.dim();
  if (dims != weight.dim() || dims < 3 || dims > 4) return {};
  std::vector<int64_t> sizes = {images.size(0), weight.size(1) * stack[8]->toInt()};
  for (int64_t i = 2; i < dims; ++i) {
    const auto setting = [&](size_t at) {
      const auto list = stack[at]->toIntList();
      return list.empty() ? 0 : list[std::min<size_t>(list.size() - 1, static_cast<size_t>(i - 2))];
    };
    const int64_t windows = (images.size(i) - 1) * setting(3) + setting(5) * (weight.size(i) - 1) + 1;
    sizes.push_back(windows - 2 * setting(4) + setting(7));
    if (sizes.back() <= 0) return {};
  }
  const auto convolution = describe(sizes, weight, stack, 3);
  if (!convolution || output_sizes(*convolution, dims) != sizes_of(images)) return {};
  return convolution;
}

/// Adds a number to each channel of [batch, channels, plane].
void add_bias(const float* bias, int64_t batch, int64_t channels, int64_t plane, float* to) {
  for (int64_t i = 0; i < batch * channels; ++i, to += plane) {
    for (int64_t j = 0; j < plane; ++j) to[j] += bias[i % channels];
  }
}

/// (input, weight, bias?, stride, padding, dilation, transposed, output_padding, groups) → out
struct Forward {
  struct Plan {
    Convolution convolution;
    bool transposed;
    const float *input, *weight, *bias;
    float* output;
  };
  static constexpr char kName[] = "aten::convolution.out";
  static std::optional<Plan> plan(Stack stack) {
    const auto &input = stack[0]->toTensor(), &weight = stack[1]->toTensor(), &out = stack[9]->toTensor();
    const bool transposed = stack[6]->toBool();
    if (!are_dense(input, weight, out)) return {};
    const auto convolution =
        transposed ? describe_transposed(input, weight, stack) : describe(sizes_of(input), weight, stack, 3);
    if (!convolution) return {};
    const float* bias = nullptr;
    if (!stack[2]->isNone()) {
      const auto& tensor = stack[2]->toTensor();
      const int64_t channels = transposed ? convolution->channels : convolution->out_channels;
      if (!is_dense(tensor) || tensor.numel() != channels) return {};
      bias = tensor.const_data_ptr<float>();
    }
    const auto sizes =
        transposed ? input_sizes(*convolution, input.dim()) : output_sizes(*convolution, input.dim());
    if (!resize(out, sizes)) return {};
    return Plan{*convolution,
                transposed,
                input.const_data_ptr<float>(),
                weight.const_data_ptr<float>(),
                bias,
                out.mutable_data_ptr<float>()};
  }
  static void run(const Plan& p) {
    const Convolution& c = p.convolution;
    if (!p.transposed) return compute::convolution(c, p.input, p.weight, p.bias, p.output);
    compute::convolution_grad_input(c, p.input, p.weight, p.output);
    if (p.bias) add_bias(p.bias, c.batch, c.channels, c.height * c.width, p.output);
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
    if (!are_dense(grad, input, weight) || stack[7]->toBool()) return {};
    const auto convolution = describe(sizes_of(input), weight, stack, 4);
    if (!convolution) return {};
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
    if (p.grad_input) compute::convolution_grad_input(c, p.grad_output, p.weight, p.grad_input);
    if (p.grad_weight) {
      compute::convolution_grad_weight(c, p.grad_output, p.input, p.grad_weight, p.grad_bias);
    } else if (p.grad_bias) {
      compute::sum_channels(p.grad_output, c.batch, c.out_channels, c.out_height * c.out_width, p.grad_bias);
    }
  }
};

}  // namespace

std::vector<Kernel> convolution_kernels() { return kernels_of<Forward, Backward>(); }

}  // namespace edgetrain::kernels
