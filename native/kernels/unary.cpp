#include "unary.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>

#include "compute.h"
#include "loops.h"
#include "types.h"

namespace edgetrain::kernels {
namespace {

/// A vectorised function of float32 with its parameters.
struct UnaryPlan {
  const PerIsa<UnaryFunction>* function;
  const float* from;
  int64_t count;
  float p, q;
  float* to;
};

std::optional<UnaryPlan> plan_unary(const PerIsa<UnaryFunction>& function, const Tensor& self,
                                    const Tensor& out, float p = 0, float q = 0) {
  if (!are_dense(self, out) || !resize(out, sizes_of(self))) return {};
  return UnaryPlan{&function, self.const_data_ptr<float>(), self.numel(), p,
                   q,         out.mutable_data_ptr<float>()};
}

void run_unary(const UnaryPlan& p) { (*p.function)(p.from, p.count, p.p, p.q, p.to); }

constexpr char kErf[] = "aten::erf.out", kExp[] = "aten::exp.out", kExpm1[] = "aten::expm1.out",
               kLog[] = "aten::log.out", kLog1p[] = "aten::log1p.out", kReciprocal[] = "aten::reciprocal.out",
               kRelu[] = "aten::relu.out", kRsqrt[] = "aten::rsqrt.out", kSigmoid[] = "aten::sigmoid.out",
               kSign[] = "aten::sign.out", kSqrt[] = "aten::sqrt.out", kTanh[] = "aten::tanh.out";

/// (self) → out
template <const char* kOperator, const PerIsa<UnaryFunction>& kFunction>
struct Function {
  static constexpr const char* kName = kOperator;
  static std::optional<UnaryPlan> plan(Stack stack) {
    return plan_unary(kFunction, stack[0]->toTensor(), stack[1]->toTensor());
  }
  static void run(const UnaryPlan& plan) { run_unary(plan); }
};

/// (self, approximate) → out
struct Gelu {
  static constexpr char kName[] = "aten::gelu.out";
  static std::optional<UnaryPlan> plan(Stack stack) {
    const auto text = stack[1]->toString();
    const bool tanh = std::string(text.data(), text.size()) == "tanh";
    return plan_unary(tanh ? compute::gelu_tanh : compute::gelu, stack[0]->toTensor(), stack[2]->toTensor());
  }
  static void run(const UnaryPlan& plan) { run_unary(plan); }
};

/// (self, negative_slope) → out
struct LeakyRelu {
  static constexpr char kName[] = "aten::leaky_relu.out";
  static std::optional<UnaryPlan> plan(Stack stack) {
    return plan_unary(compute::leaky_relu, stack[0]->toTensor(), stack[2]->toTensor(),
                      static_cast<float>(scalar(*stack[1])));
  }
  static void run(const UnaryPlan& plan) { run_unary(plan); }
};

/// (self, alpha, scale, input_scale) → out. CELU's scale of the input has no kernel of ours.
struct Elu {
  static constexpr char kName[] = "aten::elu.out";
  static std::optional<UnaryPlan> plan(Stack stack) {
    if (scalar(*stack[3]) != 1) return {};
    const double alpha = scalar(*stack[1]), scale = scalar(*stack[2]);
    return plan_unary(compute::elu, stack[0]->toTensor(), stack[4]->toTensor(),
                      static_cast<float>(alpha * scale), static_cast<float>(scale));
  }
  static void run(const UnaryPlan& plan) { run_unary(plan); }
};

/// A function of one number of any type, element by element.
struct MapPlan {
  ScalarType type;
  const void* from;
  int64_t count;
  void* to;
  double parameter;
};

std::optional<MapPlan> plan_map(const Tensor& self, const Tensor& out, ScalarType out_type,
                                double parameter = 0) {
  const auto type = self.scalar_type();
  if (!is_visited(type) || !is_dense(self, type) || !is_dense(out, out_type)) return {};
  if (!resize(out, sizes_of(self))) return {};
  return MapPlan{type, self.const_data_ptr(), self.numel(), out.mutable_data_ptr(), parameter};
}

template <class From, class To, class Function>
void run_map(const MapPlan& plan, const Function& f) {
  const auto* from = static_cast<const From*>(plan.from);
  std::transform(from, from + plan.count, static_cast<To*>(plan.to), f);
}

constexpr char kClamp[] = "aten::clamp.out", kHardtanh[] = "aten::hardtanh.out";

/// (self, min?, max?) → out, for float32 and int64
template <const char* kOperator>
struct Clamp {
  struct Plan {
    MapPlan map;
    float low, high;
    int64_t least, most;  // of integers
  };
  static constexpr const char* kName = kOperator;
  static std::optional<Plan> plan(Stack stack) {
    const auto& self = stack[0]->toTensor();
    const auto type = self.scalar_type();
    if (type != ScalarType::Float && type != ScalarType::Long) return {};
    Plan plan = {{}, -kInfinity, kInfinity, kLeast, kMost};
    for (const size_t i : {1, 2}) {
      const EValue& bound = *stack[i];
      if (bound.isNone()) continue;
      if (!keeps_type(type, bound) || std::isnan(scalar(bound))) return {};
      (i == 1 ? plan.low : plan.high) = element<float>(bound);
      (i == 1 ? plan.least : plan.most) = type == ScalarType::Long ? element<int64_t>(bound) : 0;
    }
    const auto map = plan_map(self, stack[3]->toTensor(), type);
    if (!map) return {};
    plan.map = *map;
    return plan;
  }
  static void run(const Plan& plan) {
    if (plan.map.type == ScalarType::Long) {
      return run_map<int64_t, int64_t>(
          plan.map, [&](int64_t x) { return std::min(std::max(x, plan.least), plan.most); });
    }
    const auto* from = static_cast<const float*>(plan.map.from);
    compute::clamp(from, plan.map.count, plan.low, plan.high, static_cast<float*>(plan.map.to));
  }

 private:
  static constexpr float kInfinity = std::numeric_limits<float>::infinity();
  static constexpr int64_t kLeast = std::numeric_limits<int64_t>::min(),
                           kMost = std::numeric_limits<int64_t>::max();
};

constexpr char kNeg[] = "aten::neg.out", kAbs[] = "aten::abs.out";

/// (self) → out
template <const char* kOperator, const PerIsa<UnaryFunction>& kFunction, bool kNegative>
struct Sign {
  static constexpr const char* kName = kOperator;
  static std::optional<MapPlan> plan(Stack stack) {
    const auto type = stack[0]->toTensor().scalar_type();
    if (type == ScalarType::Bool || type == ScalarType::Byte) return {};
    return plan_map(stack[0]->toTensor(), stack[1]->toTensor(), type);
  }
  static void run(const MapPlan& plan) {
    visit(plan.type, [&](auto zero) {
      using T = decltype(zero);
      if constexpr (std::is_same_v<T, float>) {
        const auto* from = static_cast<const float*>(plan.from);
        kFunction(from, plan.count, 0, 0, static_cast<float*>(plan.to));
      } else {
        run_map<T, T>(plan, [](T x) { return static_cast<T>(kNegative ? -x : x <= 0 ? 0 - x : x); });
      }
    });
  }
};

constexpr char kCeil[] = "aten::ceil.out", kCos[] = "aten::cos.out", kFloor[] = "aten::floor.out",
               kRound[] = "aten::round.out", kSin[] = "aten::sin.out";

/// (self) → out, by the function of the standard library
template <const char* kOperator, float (*kFunction)(float)>
struct Library {
  static constexpr const char* kName = kOperator;
  static std::optional<MapPlan> plan(Stack stack) {
    const auto& self = stack[0]->toTensor();
    if (!is_dense(self)) return {};
    return plan_map(self, stack[1]->toTensor(), ScalarType::Float);
  }
  static void run(const MapPlan& plan) { run_map<float, float>(plan, kFunction); }
};

/// (self, other) → out, for integers: the remainder with the sign of self, as `roll` takes it of places
struct Fmod {
  static constexpr char kName[] = "aten::fmod.Scalar_out";
  static std::optional<MapPlan> plan(Stack stack) {
    const auto& self = stack[0]->toTensor();
    if (self.scalar_type() != ScalarType::Long || !stack[1]->isInt() || stack[1]->toInt() <= 0) return {};
    return plan_map(self, stack[2]->toTensor(), ScalarType::Long, scalar(*stack[1]));
  }
  static void run(const MapPlan& plan) {
    const auto divisor = static_cast<int64_t>(plan.parameter);
    run_map<int64_t, int64_t>(plan, [divisor](int64_t x) { return x % divisor; });
  }
};

/// (self, exponent) → out
struct PowScalar {
  static constexpr char kName[] = "aten::pow.Tensor_Scalar_out";
  static std::optional<MapPlan> plan(Stack stack) {
    const auto& self = stack[0]->toTensor();
    if (!is_dense(self)) return {};
    return plan_map(self, stack[2]->toTensor(), ScalarType::Float, scalar(*stack[1]));
  }
  static void run(const MapPlan& plan) {
    const auto vectors = [&](const PerIsa<UnaryFunction>& function) {
      const auto* from = static_cast<const float*>(plan.from);
      function(from, plan.count, 0, 0, static_cast<float*>(plan.to));
    };
    if (plan.parameter == 2) return vectors(compute::square);
    if (plan.parameter == 0.5) return vectors(compute::square_root);
    if (plan.parameter == -0.5) return vectors(compute::reciprocal_root);
    if (plan.parameter == -1) return vectors(compute::reciprocal);
    const auto exponent = static_cast<float>(plan.parameter);
    run_map<float, float>(plan, [exponent](float x) { return std::pow(x, exponent); });
  }
};

constexpr char kIsNan[] = "aten::isnan.out", kIsInf[] = "aten::isinf.out",
               kLogicalNot[] = "aten::logical_not.out";
enum class Truth { kNan, kInfinite, kZero };

/// (self) → out
template <const char* kOperator, Truth kTruth>
struct Test {
  static constexpr const char* kName = kOperator;
  static std::optional<MapPlan> plan(Stack stack) {
    return plan_map(stack[0]->toTensor(), stack[1]->toTensor(), ScalarType::Bool);
  }
  static void run(const MapPlan& plan) {
    visit(plan.type, [&](auto zero) {
      using T = decltype(zero);
      run_map<T, bool>(plan, []([[maybe_unused]] T x) {
        if constexpr (kTruth == Truth::kZero) {
          return x == T();
        } else if constexpr (std::is_floating_point_v<T>) {
          return kTruth == Truth::kNan ? std::isnan(x) : std::isinf(x);
        } else {
          return false;
        }
      });
    });
  }
};

/// (self) → out
struct BitwiseNot {
  static constexpr char kName[] = "aten::bitwise_not.out";
  static std::optional<MapPlan> plan(Stack stack) {
    const auto type = stack[0]->toTensor().scalar_type();
    if (is_floating(type)) return {};
    return plan_map(stack[0]->toTensor(), stack[1]->toTensor(), type);
  }
  static void run(const MapPlan& plan) {
    visit(plan.type, [&](auto zero) {
      using T = decltype(zero);
      if constexpr (std::is_same_v<T, bool>) {
        run_map<T, T>(plan, [](T x) { return !x; });
      } else if constexpr (std::is_integral_v<T>) {
        run_map<T, T>(plan, [](T x) { return static_cast<T>(~x); });
      }
    });
  }
};

}  // namespace

std::vector<Kernel> unary_kernels() {
  return kernels_of<Function<kErf, compute::error_function>, Function<kExp, compute::exponential>,
                    Function<kExpm1, compute::exponential_minus_one>, Function<kLog, compute::logarithm>,
                    Function<kLog1p, compute::logarithm_of_one_plus>,
                    Function<kReciprocal, compute::reciprocal>, Function<kRelu, compute::relu>,
                    Function<kRsqrt, compute::reciprocal_root>, Function<kSigmoid, compute::sigmoid>,
                    Function<kSign, compute::sign>, Function<kSqrt, compute::square_root>,
                    Function<kTanh, compute::hyperbolic_tangent>, Elu, Gelu, Clamp<kClamp>, Clamp<kHardtanh>,
                    LeakyRelu, Sign<kNeg, compute::negative, true>, Sign<kAbs, compute::absolute, false>,
                    Library<kCeil, std::ceil>, Library<kCos, std::cos>, Library<kFloor, std::floor>,
                    Library<kRound, std::nearbyint>, Library<kSin, std::sin>, Fmod, PowScalar,
                    Test<kIsNan, Truth::kNan>, Test<kIsInf, Truth::kInfinite>,
                    Test<kLogicalNot, Truth::kZero>, BitwiseNot>();
}

}  // namespace edgetrain::kernels
