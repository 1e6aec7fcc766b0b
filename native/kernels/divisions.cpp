#include "divisions.h"

#include <cmath>
#include <string_view>

#include "loops.h"
#include "types.h"

namespace edgetrain::kernels {
namespace {

/// Operands of float32 or int64, and whether quotients are rounded down, else towards zero.
struct DivisionPlan {
  Loops<3> loops;
  ScalarType type;
  bool down;
  const void *a, *b;  // no b: the number
  float number;
  int64_t whole;
  void* out;
};

bool has_zero(const Tensor& tensor) {
  const auto* data = tensor.const_data_ptr<int64_t>();
  return std::find(data, data + tensor.numel(), 0) != data + tensor.numel();
}

std::optional<DivisionPlan> plan_division(const Tensor& a, const EValue& other, bool down,
                                          const Tensor& out) {
  const auto type = a.scalar_type();
  if (type != ScalarType::Float && type != ScalarType::Long) return {};
  if (!is_dense(a, type) || !is_dense(out, type)) return {};
  DivisionPlan plan = {{}, type, down, a.const_data_ptr(), nullptr, 0, 0, nullptr};
  const bool integers = type == ScalarType::Long;
  if (other.isTensor()) {
    const auto& b = other.toTensor();
    const auto sizes = broadcast_sizes(a, b);
    if (!is_dense(b, type) || (integers && has_zero(b)) || !sizes || !resize(out, *sizes)) return {};
    plan.loops = broadcast_loops(*sizes, a, b);
    plan.b = b.const_data_ptr();
  } else {
    if (!keeps_type(type, other) || !resize(out, sizes_of(a))) return {};
    plan.loops = {{a.numel(), {1, 1, 0}}};
    plan.number = element<float>(other);
    plan.whole = integers ? element<int64_t>(other) : 0;
    if (integers && plan.whole == 0) return {};
  }
  plan.out = out.mutable_data_ptr();
  return plan;
}

int64_t divide(int64_t a, int64_t b, bool down) {
  if (b == -1) return static_cast<int64_t>(-static_cast<uint64_t>(a));  // of the least one too
  const int64_t quotient = a / b;
  return down && a % b != 0 && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

/// Rounded down it is that of the remainder: 1 / 0.1 is 9, since 0.1 is a little more than a tenth.
float divide(float a, float b, bool down) {
  if (!down) return std::trunc(a / b);
  if (b == 0) return a / b;
  const float remainder = std::fmod(a, b);
  float quotient = (a - remainder) / b;
  if (remainder != 0 && (b < 0) != (remainder < 0)) quotient -= 1;
  if (quotient == 0) return std::copysign(0.0F, a / b);
  const float lower = std::floor(quotient);
  return quotient - lower > 0.5F ? lower + 1 : lower;
}

template <class T>
void divide_all(const DivisionPlan& p, const T* number) {
  const auto* b = p.b == nullptr ? number : static_cast<const T*>(p.b);
  map(
      p.loops, [down = p.down](T x, T y) { return divide(x, y, down); }, static_cast<T*>(p.out),
      static_cast<const T*>(p.a), b);
}

void run_division(const DivisionPlan& plan) {
  if (plan.type == ScalarType::Float) return divide_all<float>(plan, &plan.number);
  divide_all<int64_t>(plan, &plan.whole);
}

constexpr char kDiv[] = "aten::div.out_mode", kDivScalar[] = "aten::div.Scalar_mode_out";

/// (self, other, rounding_mode?) → out
template <const char* kOperator>
struct Divide {
  static constexpr const char* kName = kOperator;
  static std::optional<DivisionPlan> plan(Stack stack) {
    if (stack[2]->isNone()) return {};
    const auto mode = stack[2]->toString();
    const std::string_view name(mode.data(), mode.size());
    if (name != "floor" && name != "trunc") return {};
    return plan_division(stack[0]->toTensor(), *stack[1], name == "floor", stack[3]->toTensor());
  }
  static void run(const DivisionPlan& plan) { run_division(plan); }
};

/// (self, other) → out
struct FloorDivide {
  static constexpr char kName[] = "aten::floor_divide.out";
  static std::optional<DivisionPlan> plan(Stack stack) {
    return plan_division(stack[0]->toTensor(), *stack[1], true, stack[2]->toTensor());
  }
  static void run(const DivisionPlan& plan) { run_division(plan); }
};

}  // namespace

std::vector<Kernel> division_kernels() { return kernels_of<Divide<kDiv>, Divide<kDivScalar>, FloorDivide>(); }

}  // namespace edgetrain::kernels
