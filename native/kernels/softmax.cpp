#include "softmax.h"

#include "compute.h"
#include "types.h"

namespace edgetrain::kernels {
namespace {

constexpr char kSoftmax[] = "aten::_softmax.out", kLogSoftmax[] = "aten::_log_softmax.out";

/// (self, dim, half_to_float) → out
template <const char* kOperator, bool kLog>
struct SoftmaxOf {
  struct Plan {
    const float* from;
    int64_t outer, count, inner;
    float* to;
  };
  static constexpr const char* kName = kOperator;
  static std::optional<Plan> plan(Stack stack) {
    const auto &self = stack[0]->toTensor(), &out = stack[3]->toTensor();
    const int64_t dim = from_front(stack[1]->toInt(), self.dim());
    if (!are_dense(self, out) || dim < 0 || !resize(out, sizes_of(self))) return {};
    Plan plan = {self.const_data_ptr<float>(), 1, self.size(dim), 1, out.mutable_data_ptr<float>()};
    for (int64_t i = 0; i < dim; ++i) plan.outer *= self.size(i);
    for (int64_t i = dim + 1; i < self.dim(); ++i) plan.inner *= self.size(i);
    return plan;
  }
  static void run(const Plan& p) { compute::softmax(kLog, p.from, p.outer, p.count, p.inner, p.to); }
};

}  // namespace

std::vector<Kernel> softmax_kernels() {
  return kernels_of<SoftmaxOf<kSoftmax, false>, SoftmaxOf<kLogSoftmax, true>>();
}

}  // namespace edgetrain::kernels
