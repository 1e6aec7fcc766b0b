#include "reduction.h"

#include "isa.h"

namespace edgetrain::kernels {
namespace {

/// A sum over the middle one of three dimensions, or over the first and last one.
struct Plan {
  bool channels;
  int64_t outer, middle, inner;
  float factor;
  const float* from;
  float* to;
};

/// @param dims none for all
std::optional<Plan> plan_sum(const Tensor& self, const EValue& dims, bool keep, bool mean,
                             const Tensor& out) {
  if (!are_dense(self, out)) return {};
  std::vector<bool> reduced(static_cast<size_t>(self.dim()), true);
  if (!dims.isNone() && !dims.toIntList().empty()) {
    reduced.assign(reduced.size(), false);
    for (const int64_t dim : dims.toIntList()) {
      const int64_t i = dim < 0 ? dim + self.dim() : dim;
      if (i < 0 || i >= self.dim()) return {};
      reduced[static_cast<size_t>(i)] = true;
    }
  }
  // Sizes of runs of dimensions that are all kept or all reduced, which take turns; the first run is kept.
  std::vector<int64_t> runs = {1}, sizes;
  int64_t count = 1;
  for (size_t i = 0; i < reduced.size(); ++i) {
    const int64_t size = self.size(static_cast<int64_t>(i));
    if (reduced[i]) count *= size;
    if (!reduced[i] || keep) sizes.push_back(reduced[i] ? 1 : size);
    if (size == 1) continue;
    if (reduced[i] != (runs.size() % 2 == 0)) runs.push_back(1);
    runs.back() *= size;
  }
  const float factor = mean ? static_cast<float>(1.0 / static_cast<double>(count)) : 1.0F;
  Plan plan = {false, 1, 1, 1, factor, self.const_data_ptr<float>(), out.mutable_data_ptr<float>()};
  if (runs.size() <= 3) {
    plan.outer = runs[0];
    plan.middle = runs.size() > 1 ? runs[1] : 1;
    plan.inner = runs.size() > 2 ? runs[2] : 1;
  } else if (runs.size() == 4 && runs[0] == 1 && !mean) {
    plan.channels = true;
    plan.outer = runs[1], plan.middle = runs[2], plan.inner = runs[3];
  } else {
    return {};
  }
  if (self.numel() == 0 || !resize(out, sizes)) return {};
  return plan;
}

void run_sum(const Plan& p) {
  if (p.channels) {
    compute().sum_channels(p.from, p.outer, p.middle, p.inner, p.to);
  } else {
    compute().sum_middle(p.from, p.outer, p.middle, p.inner, p.factor, p.to);
  }
}

constexpr char kSumName[] = "aten::sum.IntList_out", kMeanName[] = "aten::mean.out";

/// (self, dim?, keepdim, dtype?) → out
template <const char* kOperator, bool kMean>
struct Reduce {
  static constexpr const char* kName = kOperator;
  static std::optional<Plan> plan(Stack stack) {
    return plan_sum(stack[0]->toTensor(), *stack[1], stack[2]->toBool(), kMean, stack[4]->toTensor());
  }
  static void run(const Plan& plan) { run_sum(plan); }
};

}  // namespace

std::vector<Kernel> reduction_kernels() {
  return {boxed<Reduce<kSumName, false>>(), boxed<Reduce<kMeanName, true>>()};
}

}  // namespace edgetrain::kernels
