#include "powers.h"

#include <cmath>

#include "loops.h"

namespace edgetrain::kernels {
namespace {

/// Bases and exponents in float32.
struct PowerPlan {
  Loops<3> loops;
  const float *base, *exponent;  // no base: the number
  float number;
  float* out;
};

std::optional<PowerPlan> plan_power(const EValue& base, const Tensor& exponent, const Tensor& out) {
  const Tensor& self = base.isTensor() ? base.toTensor() : exponent;
  if (!are_dense(self, exponent, out)) return {};
  const auto sizes = broadcast_sizes(self, exponent);
  if (!sizes || !resize(out, *sizes)) return {};
  PowerPlan plan = {broadcast_loops(*sizes, self, exponent), nullptr, exponent.const_data_ptr<float>(), 0,
                    out.mutable_data_ptr<float>()};
  if (base.isTensor()) {
    plan.base = self.const_data_ptr<float>();
  } else {
    plan.number = static_cast<float>(scalar(base));
  }
  return plan;
}

constexpr char kPowers[] = "aten::pow.Tensor_Tensor_out", kPowersOfNumber[] = "aten::pow.Scalar_out";

/// (self, exponent) → out
template <const char* kOperator>
struct Power {
  static constexpr const char* kName = kOperator;
  static std::optional<PowerPlan> plan(Stack stack) {
    return plan_power(*stack[0], stack[1]->toTensor(), stack[2]->toTensor());
  }
  static void run(const PowerPlan& p) {
    Loops<3> loops = p.loops;
    if (p.base == nullptr) {
      for (auto& loop : loops) loop.step[1] = 0;
    }
    const float* base = p.base == nullptr ? &p.number : p.base;
    map(loops, [](float x, float y) { return std::pow(x, y); }, p.out, base, p.exponent);
  }
};

}  // namespace

std::vector<Kernel> power_kernels() { return kernels_of<Power<kPowers>, Power<kPowersOfNumber>>(); }

}  // namespace edgetrain::kernels
