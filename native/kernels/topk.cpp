#include "topk.h"

#include <algorithm>

#include "scratch.h"
#include "types.h"

namespace edgetrain::kernels {
namespace {

/// (self, k, dim, largest, sorted) → (values, indices) of float32: always sorted, NaN as the largest, and of
/// equal ones the first.
struct TopK {
  struct Plan {
    int64_t outer, count, inner, kept;
    bool largest;
    const float* from;
    float* values;
    int64_t* indices;
    int64_t* order;  // [count]
  };
  static constexpr char kName[] = "aten::topk.values";
  static std::optional<Plan> plan(Stack stack) {
    const auto &self = stack[0]->toTensor(), &values = stack[5]->toTensor(), &indices = stack[6]->toTensor();
    const int64_t kept = stack[1]->toInt(), dim = from_front(stack[2]->toInt(), self.dim());
    if (!are_dense(self, values) || !is_dense(indices, ScalarType::Long) || dim < 0) return {};
    if (kept < 0 || kept > self.size(dim)) return {};
    auto sizes = sizes_of(self);
    sizes[static_cast<size_t>(dim)] = kept;
    if (!resize(values, sizes) || !resize(indices, sizes)) return {};
    Plan plan = {1,
                 self.size(dim),
                 1,
                 kept,
                 stack[3]->toBool(),
                 self.const_data_ptr<float>(),
                 values.mutable_data_ptr<float>(),
                 indices.mutable_data_ptr<int64_t>(),
                 nullptr};
    for (int64_t i = 0; i < dim; ++i) plan.outer *= self.size(i);
    for (int64_t i = dim + 1; i < self.dim(); ++i) plan.inner *= self.size(i);
    const auto bytes = static_cast<size_t>(plan.count) * sizeof(int64_t);
    plan.order = static_cast<int64_t*>(scratch(Scratch::kOffsets, bytes));
    return plan;
  }
  static void run(const Plan& p) {
    for (int64_t row = 0; row < p.outer * p.inner; ++row) {
      const int64_t o = row / p.inner, i = row % p.inner;
      const float* from = p.from + o * p.count * p.inner + i;
      const auto leads = [&](int64_t a, int64_t b) {
        const float x = from[a * p.inner], y = from[b * p.inner];
        const bool above = x > y || (x != x && y == y), below = x < y || (y != y && x == x);
        return above != below ? above == p.largest : a < b;
      };
      for (int64_t j = 0; j < p.count; ++j) p.order[j] = j;
      std::partial_sort(p.order, p.order + p.kept, p.order + p.count, leads);
      for (int64_t j = 0; j < p.kept; ++j) {
        const int64_t at = (o * p.kept + j) * p.inner + i;
        p.indices[at] = p.order[j];
        p.values[at] = from[p.order[j] * p.inner];
      }
    }
  }
};

}  // namespace

std::vector<Kernel> topk_kernels() { return kernels_of<TopK>(); }

}  // namespace edgetrain::kernels
