#include "permute.h"

#include <cstring>

#include "isa.h"

namespace edgetrain::kernels {
namespace {

/// A dimension of the result, and the distance of its elements in the input.
struct Dimension {
  int64_t size, from, to;
};

/// (self, dims) → out
struct PermuteCopy {
  struct Plan {
    std::vector<Dimension> outer;  // what is left of the dimensions
    Dimension row, column;         // the result's last dimension, and the input's
    const float* from;
    float* to;
    int64_t count;  // of all elements
  };
  static constexpr char kName[] = "aten::permute_copy.out";
  static std::optional<Plan> plan(Stack stack) {
    const auto &self = stack[0]->toTensor(), &out = stack[2]->toTensor();
    const auto order = stack[1]->toIntList();
    const int64_t dims = self.dim();
    if (!are_dense(self, out) || dims < 1 || static_cast<int64_t>(order.size()) != dims) return {};
    std::vector<bool> seen(order.size());
    std::vector<int64_t> sizes(order.size());
    std::vector<Dimension> all;
    for (size_t i = 0; i < order.size(); ++i) {
      const int64_t dim = order[i] < 0 ? order[i] + dims : order[i];
      if (dim < 0 || dim >= dims || seen[static_cast<size_t>(dim)]) return {};
      seen[static_cast<size_t>(dim)] = true;
      sizes[i] = self.size(dim);
      all.push_back({sizes[i], self.strides()[static_cast<size_t>(dim)], 0});
    }
    int64_t stride = 1;
    for (size_t i = all.size(); i-- > 0; stride *= all[i].size) all[i].to = stride;
    if (!resize(out, sizes)) return {};
    // Neighbours that stay neighbours are one dimension.
    std::vector<Dimension> merged;
    for (const Dimension& next : all) {
      if (next.size == 1) continue;
      if (!merged.empty() && merged.back().from == next.from * next.size) {
        merged.back() = {merged.back().size * next.size, next.from, next.to};
      } else {
        merged.push_back(next);
      }
    }
    Plan plan = {
        {}, {1, 0, 1}, {1, 1, 0}, self.const_data_ptr<float>(), out.mutable_data_ptr<float>(), self.numel()};
    for (const Dimension& dimension : merged) {
      if (dimension.from == 1) {
        plan.column = dimension;
      } else if (dimension.to == 1) {
        plan.row = dimension;
      } else {
        plan.outer.push_back(dimension);
      }
    }
    return plan;
  }
  static void run(const Plan& plan) {
    if (plan.count == 0) return;
    int64_t count = 1;
    for (const Dimension& dimension : plan.outer) count *= dimension.size;
    for (int64_t i = 0; i < count; ++i) {
      int64_t from = 0, to = 0, rest = i;
      for (size_t d = plan.outer.size(); d-- > 0;) {
        from += rest % plan.outer[d].size * plan.outer[d].from;
        to += rest % plan.outer[d].size * plan.outer[d].to;
        rest /= plan.outer[d].size;
      }
      if (plan.column.to <= 1) {
        std::memcpy(plan.to + to, plan.from + from, static_cast<size_t>(plan.column.size) * sizeof(float));
      } else {
        compute().transpose(plan.from + from, plan.row.from, plan.to + to, plan.column.to, plan.row.size,
                            plan.column.size);
      }
    }
  }
};

}  // namespace

std::vector<Kernel> permute_kernels() { return {boxed<PermuteCopy>()}; }

}  // namespace edgetrain::kernels
