#include "pooling.h"

#include "compute.h"

namespace edgetrain::kernels {
namespace {

/// How many windows there are along a side. With `ceil`, the last one may reach beyond the padded image, if
/// it begins inside.
int64_t windows(int64_t size, int64_t kernel, int64_t stride, int64_t padding, int64_t dilation, bool ceil) {
  const int64_t space = size + 2 * padding - dilation * (kernel - 1) - 1;
  if (space < 0) return 0;
  const int64_t count = (space + (ceil ? stride - 1 : 0)) / stride + 1;
  return (count - 1) * stride >= size + padding ? count - 1 : count;
}

/// kernel_size, stride and padding are the three arguments from stack[1] on.
std::optional<Pool> plan_pool(Stack stack, bool ceil, int64_t dilation_y, int64_t dilation_x) {
  const auto& input = stack[0]->toTensor();
  const int64_t dims = input.dim();
  if (!is_dense(input) || dims < 3 || dims > 4) return {};
  const auto y = [](const auto& list, int64_t missing) { return list.empty() ? missing : list[0]; };
  const auto x = [](const auto& list, int64_t missing) {
    return list.empty() ? missing : list[list.size() - 1];
  };
  const auto kernel = stack[1]->toIntList(), stride = stack[2]->toIntList(), padding = stack[3]->toIntList();
  Pool p = {};
  p.height = input.size(dims - 2), p.width = input.size(dims - 1);
  p.planes = input.size(dims - 3) * (dims == 4 ? input.size(0) : 1);
  p.kernel_y = y(kernel, 0), p.kernel_x = x(kernel, 0);
  p.stride_y = y(stride, p.kernel_y), p.stride_x = x(stride, p.kernel_x);
  p.padding_y = y(padding, 0), p.padding_x = x(padding, 0);
  p.dilation_y = dilation_y, p.dilation_x = dilation_x;
  const bool valid = p.height > 0 && p.width > 0 && p.kernel_y > 0 && p.kernel_x > 0 && p.stride_y > 0 &&
                     p.stride_x > 0 && p.dilation_y > 0 && p.dilation_x > 0 && p.padding_y >= 0 &&
                     p.padding_x >= 0 && 2 * p.padding_y <= p.kernel_y && 2 * p.padding_x <= p.kernel_x &&
                     p.height * p.width <= INT32_MAX;
  require(p.stride_y > 0 && p.stride_x > 0, "a pool's stride");
  // Elements of a window that lie further apart than an image is high may all miss it.
  const bool meets =
      (p.dilation_y == 1 || p.dilation_y <= p.height) && (p.dilation_x == 1 || p.dilation_x <= p.width);
  if (!valid || !meets) return {};
  p.out_height = windows(p.height, p.kernel_y, p.stride_y, p.padding_y, p.dilation_y, ceil);
  p.out_width = windows(p.width, p.kernel_x, p.stride_x, p.padding_x, p.dilation_x, ceil);
  if (p.out_height == 0 || p.out_width == 0) return {};
  return p;
}

std::vector<int64_t> sizes_of_result(const Tensor& input, const Pool& pool) {
  auto sizes = sizes_of(input);
  sizes[sizes.size() - 2] = pool.out_height;
  sizes.back() = pool.out_width;
  return sizes;
}

/// (self, kernel_size, stride, padding, dilation, ceil_mode) → (out, indices)
struct MaxPoolWithIndices {
  struct Plan {
    Pool pool;
    const float* input;
    float* output;
    int64_t* indices;
  };
  static constexpr char kName[] = "aten::max_pool2d_with_indices.out";
  static std::optional<Plan> plan(Stack stack) {
    const auto &input = stack[0]->toTensor(), &out = stack[6]->toTensor(), &indices = stack[7]->toTensor();
    const auto dilation = stack[4]->toIntList();
    const auto pool = plan_pool(stack, stack[5]->toBool(), dilation.empty() ? 1 : dilation[0],
                                dilation.empty() ? 1 : dilation[dilation.size() - 1]);
    if (!pool || !is_dense(out) || !is_dense(indices, ScalarType::Long)) return {};
    const auto sizes = sizes_of_result(input, *pool);
    if (!resize(out, sizes) || !resize(indices, sizes)) return {};
    return Plan{*pool, input.const_data_ptr<float>(), out.mutable_data_ptr<float>(),
                indices.mutable_data_ptr<int64_t>()};
  }
  static void run(const Plan& p) { compute::max_pool(p.pool, p.input, p.output, p.indices); }
};

/// (self, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override?) → out
struct AvgPool {
  struct Plan {
    Pool pool;
    bool count_padding;
    int64_t divisor;  // 0: the window's size
    const float* input;
    float* output;
  };
  static constexpr char kName[] = "aten::avg_pool2d.out";
  static std::optional<Plan> plan(Stack stack) {
    const auto &input = stack[0]->toTensor(), &out = stack[7]->toTensor();
    const auto pool = plan_pool(stack, stack[4]->toBool(), 1, 1);
    const int64_t divisor = stack[6]->isNone() ? 0 : stack[6]->toInt();
    if (!pool || !is_dense(out) || (divisor == 0 && !stack[6]->isNone())) return {};
    if (!resize(out, sizes_of_result(input, *pool))) return {};
    return Plan{*pool, stack[5]->toBool(), divisor, input.const_data_ptr<float>(),
                out.mutable_data_ptr<float>()};
  }
  static void run(const Plan& p) {
    compute::mean_pool(p.pool, p.count_padding, p.divisor, p.input, p.output);
  }
};

}  // namespace

std::vector<Kernel> pooling_kernels() { return kernels_of<MaxPoolWithIndices, AvgPool>(); }

}  // namespace edgetrain::kernels
