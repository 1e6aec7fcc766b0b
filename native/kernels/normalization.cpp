#include "normalization.h"

#include <cmath>

#include "blocking.h"
#include "compute.h"
#include "scratch.h"

namespace edgetrain::kernels {
namespace {

/// A tensor of `count` values, or null for None; false where it is another one.
bool optional_values(const EValue& value, int64_t count, const float** data) {
  if (value.isNone()) return true;
  const auto& tensor = value.toTensor();
  *data = tensor.const_data_ptr<float>();
  return is_dense(tensor) && tensor.numel() == count;
}

struct NormPlan {
  Normalization norm;
  const float *from, *weight, *bias;
  float *to, *mean, *rstd;
};

void run_norm(const NormPlan& p) {
  compute::normalize(p.norm, p.from, p.weight, p.bias, p.to, p.mean, p.rstd);
}

/// (input, normalized_shape, weight?, bias?, eps) → (out, mean, rstd)
struct LayerNorm {
  static constexpr char kName[] = "aten::native_layer_norm.out";
  static std::optional<NormPlan> plan(Stack stack) {
    const auto& input = stack[0]->toTensor();
    const auto &out = stack[5]->toTensor(), &mean = stack[6]->toTensor(), &rstd = stack[7]->toTensor();
    const auto shape = stack[1]->toIntList();
    const int64_t kept = input.dim() - static_cast<int64_t>(shape.size());
    if (!are_dense(input, out, mean, rstd) || kept < 0 || input.numel() == 0) return {};
    NormPlan plan = {{1, 1, 1, static_cast<float>(stack[4]->toDouble())},
                     input.const_data_ptr<float>(),
                     nullptr,
                     nullptr,
                     nullptr,
                     nullptr,
                     nullptr};
    std::vector<int64_t> sizes;
    for (int64_t i = 0; i < input.dim(); ++i) {
      if (i >= kept && input.size(i) != shape[static_cast<size_t>(i - kept)]) return {};
      (i < kept ? plan.norm.rows : plan.norm.channels) *= input.size(i);
      sizes.push_back(i < kept ? input.size(i) : 1);
    }
    const bool fits = optional_values(*stack[2], plan.norm.channels, &plan.weight) &&
                      optional_values(*stack[3], plan.norm.channels, &plan.bias) &&
                      resize(out, sizes_of(input)) && resize(mean, sizes) && resize(rstd, sizes);
    if (!fits) return {};
    plan.to = out.mutable_data_ptr<float>();
    plan.mean = mean.mutable_data_ptr<float>(), plan.rstd = rstd.mutable_data_ptr<float>();
    return plan;
  }
  static void run(const NormPlan& plan) { run_norm(plan); }
};

/// (input, weight?, bias?, N, C, HxW, group, eps) → (out, mean, rstd)
struct GroupNorm {
  static constexpr char kName[] = "aten::native_group_norm.out";
  static std::optional<NormPlan> plan(Stack stack) {
    const auto& input = stack[0]->toTensor();
    const auto &out = stack[8]->toTensor(), &mean = stack[9]->toTensor(), &rstd = stack[10]->toTensor();
    const int64_t batch = stack[3]->toInt(), channels = stack[4]->toInt(), plane = stack[5]->toInt(),
                  groups = stack[6]->toInt();
    const bool valid = are_dense(input, out, mean, rstd) && input.numel() > 0 && groups > 0 &&
                       channels % groups == 0 && batch * channels * plane == input.numel();
    if (!valid) return {};
    NormPlan plan = {{batch * groups, channels / groups, plane, static_cast<float>(stack[7]->toDouble())},
                     input.const_data_ptr<float>(),
                     nullptr,
                     nullptr,
                     nullptr,
                     nullptr,
                     nullptr};
    plan.norm.groups = groups;
    const bool fits = optional_values(*stack[1], channels, &plan.weight) &&
                      optional_values(*stack[2], channels, &plan.bias) && resize(out, sizes_of(input)) &&
                      resize(mean, {batch, groups}) && resize(rstd, {batch, groups});
    if (!fits) return {};
    plan.to = out.mutable_data_ptr<float>();
    plan.mean = mean.mutable_data_ptr<float>(), plan.rstd = rstd.mutable_data_ptr<float>();
    return plan;
  }
  static void run(const NormPlan& plan) { run_norm(plan); }
};

/// (input, weight?, bias?, running_mean, running_var, momentum, eps) → (out, empty, empty)
struct FixedBatchNorm {
  struct Plan {
    int64_t batch, channels, plane;
    const float *from, *weight, *bias, *mean, *variance;
    float eps;
    float* to;
  };
  static constexpr char kName[] = "aten::_native_batch_norm_legit_no_training.out";
  static std::optional<Plan> plan(Stack stack) {
    const auto &input = stack[0]->toTensor(), &out = stack[7]->toTensor();
    if (!are_dense(input, out) || input.dim() < 2) return {};
    Plan plan = {input.size(0),
                 input.size(1),
                 1,
                 input.const_data_ptr<float>(),
                 nullptr,
                 nullptr,
                 nullptr,
                 nullptr,
                 static_cast<float>(stack[6]->toDouble()),
                 nullptr};
    for (int64_t i = 2; i < input.dim(); ++i) plan.plane *= input.size(i);
    const bool fits = optional_values(*stack[1], plan.channels, &plan.weight) &&
                      optional_values(*stack[2], plan.channels, &plan.bias) &&
                      optional_values(*stack[3], plan.channels, &plan.mean) &&
                      optional_values(*stack[4], plan.channels, &plan.variance);
    if (!fits || plan.mean == nullptr || plan.variance == nullptr) return {};
    const auto &first = stack[8]->toTensor(), &second = stack[9]->toTensor();
    if (!resize(out, sizes_of(input)) || !resize(first, {0}) || !resize(second, {0})) return {};
    plan.to = out.mutable_data_ptr<float>();
    return plan;
  }
  static void run(const Plan& p) {
    if (p.batch * p.channels * p.plane == 0) return;
    // Short planes are no loop of their own: each of their elements counts as a channel.
    const auto repeats = static_cast<size_t>(p.plane <= kShortRow ? p.plane : 1);
    const auto size = static_cast<size_t>(p.channels) * repeats;
    auto* scale = static_cast<float*>(scratch(Scratch::kTransposed, 2 * size * sizeof(float)));
    float* shift = scale + size;
    for (size_t i = 0; i < size; ++i) {
      const size_t c = i / repeats;
      scale[i] = (p.weight == nullptr ? 1.0F : p.weight[c]) / std::sqrt(p.variance[c] + p.eps);
      shift[i] = (p.bias == nullptr ? 0.0F : p.bias[c]) - p.mean[c] * scale[i];
    }
    const auto channels = static_cast<int64_t>(size);
    const int64_t plane = p.plane / static_cast<int64_t>(repeats);
    compute::scale_channels(p.from, p.batch, channels, plane, scale, shift, p.to);
  }
};

}  // namespace

std::vector<Kernel> normalization_kernels() { return kernels_of<LayerNorm, GroupNorm, FixedBatchNorm>(); }

}  // namespace edgetrain::kernels
