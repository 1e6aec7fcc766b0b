#include "pooling.h"

#include "isa.h"

namespace edgetrain::kernels {
namespace {

/// (self, kernel_size, stride, padding, dilation, ceil_mode) → (out, indices)
struct MaxPoolWithIndices {
  struct Plan {
    MaxPool pool;
    const float* input;
    float* output;
    int64_t* indices;
  };
  static constexpr char kName[] = "aten::max_pool2d_with_indices.out";
  static std::optional<Plan> plan(Stack stack) {
    const auto &input = stack[0]->toTensor(), &out = stack[6]->toTensor(), &indices = stack[7]->toTensor();
    const int64_t dims = input.dim();
    if (!are_dense(input, out) || !is_dense(indices, ScalarType::Long) || dims < 3 || dims > 4) return {};
    const auto y = [](const auto& list, int64_t missing) { return list.empty() ? missing : list[0]; };
    const auto x = [](const auto& list, int64_t missing) {
      return list.empty() ? missing : list[list.size() - 1];
    };
    const auto kernel = stack[1]->toIntList(), stride = stack[2]->toIntList(),
               padding = stack[3]->toIntList(), dilation = stack[4]->toIntList();
    MaxPool p = {};
    p.height = input.size(dims - 2), p.width = input.size(dims - 1);
    p.planes = input.size(dims - 3) * (dims == 4 ? input.size(0) : 1);
    p.kernel_y = y(kernel, 0), p.kernel_x = x(kernel, 0);
    p.stride_y = y(stride, p.kernel_y), p.stride_x = x(stride, p.kernel_x);
    p.padding_y = y(padding, 0), p.padding_x = x(padding, 0);
    p.dilation_y = y(dilation, 1), p.dilation_x = x(dilation, 1);
    const bool valid = p.height > 0 && p.width > 0 && p.kernel_y > 0 && p.kernel_x > 0 && p.stride_y > 0 &&
                       p.stride_x > 0 && p.dilation_y > 0 && p.dilation_x > 0 && p.padding_y >= 0 &&
                       p.padding_x >= 0 && 2 * p.padding_y <= p.kernel_y && 2 * p.padding_x <= p.kernel_x &&
                       p.height * p.width <= INT32_MAX;
    // Rounding up would let windows begin outside of the image.
    if (!valid || stack[5]->toBool()) return {};
    const int64_t space_y = p.height + 2 * p.padding_y - p.dilation_y * (p.kernel_y - 1) - 1;
    const int64_t space_x = p.width + 2 * p.padding_x - p.dilation_x * (p.kernel_x - 1) - 1;
    if (space_y < 0 || space_x < 0) return {};
    p.out_height = space_y / p.stride_y + 1, p.out_width = space_x / p.stride_x + 1;
    auto sizes = sizes_of(input);
    sizes[sizes.size() - 2] = p.out_height;
    sizes.back() = p.out_width;
    if (!resize(out, sizes) || !resize(indices, sizes)) return {};
    return Plan{p, input.const_data_ptr<float>(), out.mutable_data_ptr<float>(),
                indices.mutable_data_ptr<int64_t>()};
  }
  static void run(const Plan& p) { compute().max_pool(p.pool, p.input, p.output, p.indices); }
};

}  // namespace

std::vector<Kernel> pooling_kernels() { return {boxed<MaxPoolWithIndices>()}; }

}  // namespace edgetrain::kernels
