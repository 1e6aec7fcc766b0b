#include "running_sums.h"

#include "types.h"

namespace edgetrain::kernels {
namespace {

/// (self, dim, dtype?) → out
struct CumulativeSum {
  struct Plan {
    ScalarType type;
    const void* from;
    int64_t outer, count, inner;
    void* to;
    bool rounded;  // integers, whose sums are float32
  };
  static constexpr char kName[] = "aten::cumsum.out";
  static std::optional<Plan> plan(Stack stack) {
    const auto &self = stack[0]->toTensor(), &out = stack[3]->toTensor();
    const auto type = self.scalar_type();
    const int64_t dim = from_front(stack[1]->toInt(), self.dim());
    // Of integers, sums may be asked for as float32.
    const bool rounded = !is_floating(type) && out.scalar_type() == ScalarType::Float;
    const auto sums = is_floating(type) ? type : rounded ? ScalarType::Float : ScalarType::Long;
    if (!is_visited(type) || !is_dense(self, type) || !is_dense(out, sums) || dim < 0) return {};
    if (!resize(out, sizes_of(self))) return {};
    Plan plan = {type, self.const_data_ptr(), 1, self.size(dim), 1, out.mutable_data_ptr(), rounded};
    for (int64_t i = 0; i < dim; ++i) plan.outer *= self.size(i);
    for (int64_t i = dim + 1; i < self.dim(); ++i) plan.inner *= self.size(i);
    return plan;
  }
  static void run(const Plan& plan) {
    visit(plan.type, [&](auto zero) {
      using T = decltype(zero);
      if constexpr (std::is_floating_point_v<T>) {
        add_up<T, T, double>(plan);
      } else if (plan.rounded) {
        add_up<T, float, double>(plan);
      } else {
        add_up<T, int64_t, int64_t>(plan);
      }
    });
  }

 private:
  template <class From, class To, class Sum>
  static void add_up(const Plan& p) {
    const auto* all = static_cast<const From*>(p.from);
    auto* sums = static_cast<To*>(p.to);
    for (int64_t row = 0; row < p.outer * p.inner; ++row) {
      const int64_t first = row / p.inner * p.count * p.inner + row % p.inner;
      Sum sum = 0;
      for (int64_t i = 0; i < p.count; ++i) {
        sum += static_cast<Sum>(all[first + i * p.inner]);
        sums[first + i * p.inner] = static_cast<To>(sum);
      }
    }
  }
};

}  // namespace

std::vector<Kernel> running_sum_kernels() { return kernels_of<CumulativeSum>(); }

}  // namespace edgetrain::kernels
