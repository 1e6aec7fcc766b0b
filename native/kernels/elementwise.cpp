#include "elementwise.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "blocking.h"
#include "compute.h"
#include "loops.h"
#include "scratch.h"
#include "types.h"

namespace edgetrain::kernels {
namespace {

/// Two operands of one type. The second one may be a number.
struct BinaryPlan {
  Loops<3> loops;
  ScalarType type;
  const void *a, *b;  // no b: the number
  alignas(8) std::array<char, 8> number;
  double alpha;
  void* out;
};

std::optional<BinaryPlan> plan_binary(const Tensor& a, const EValue& other, double alpha, const Tensor& out,
                                      ScalarType out_type) {
  const auto type = a.scalar_type();
  if (!is_visited(type) || !is_dense(a, type) || !is_dense(out, out_type)) return {};
  BinaryPlan plan = {{}, type, a.const_data_ptr(), nullptr, {}, alpha, nullptr};
  if (other.isTensor()) {
    const auto& b = other.toTensor();
    const auto sizes = broadcast_sizes(a, b);
    if (!is_dense(b, type) || !sizes || !resize(out, *sizes)) return {};
    plan.loops = broadcast_loops(*sizes, a, b);
    plan.b = b.const_data_ptr();
  } else {
    if (!resize(out, sizes_of(a))) return {};
    plan.loops = {{a.numel(), {1, 1, 0}}};
    visit(type, [&](auto zero) {
      const auto number = element<decltype(zero)>(other);
      std::memcpy(plan.number.data(), &number, sizeof(number));
    });
  }
  plan.out = out.mutable_data_ptr();
  return plan;
}

/// f(T(), b) for the type of the operands, with b as an operand.
template <class Function>
void with_other(const BinaryPlan& plan, const Function& f) {
  visit(plan.type, [&](auto zero) {
    const void* b = plan.b != nullptr ? plan.b : plan.number.data();
    f(zero, static_cast<const decltype(zero)*>(b));
  });
}

/// Where rows are short and an operand is the same along them, as a value per channel is in small images, the
/// operand is spread out, so that rows become as long as the next loop allows.
void spread(Loops<3>& loops, int operand, const float*& data) {
  if (loops.size() < 2) return;
  Loop<3>&row = loops.back(), &rows = loops[loops.size() - 2];
  const bool repeats = std::all_of(loops.begin(), loops.end() - 2,
                                   [operand](const Loop<3>& loop) { return loop.step[operand] == 0; });
  const bool pays = row.size <= kShortRow && row.size * rows.size <= kMostSpread;
  if (!repeats || !pays || row.step[operand] != 0 || rows.step[operand] == 0) return;
  const auto purpose = operand == 1 ? Scratch::kPacked : Scratch::kTransposed;
  const auto bytes = static_cast<size_t>(row.size * rows.size) * sizeof(float);
  auto* wide = static_cast<float*>(scratch(purpose, bytes));
  for (int64_t i = 0; i < rows.size; ++i)
    std::fill_n(wide + i * row.size, row.size, data[i * rows.step[operand]]);
  row.step[operand] = 1;
  rows.step[operand] = row.size;
  data = wide;
  loops = merge(loops);
}

enum class Binary { kAdd, kSubtract, kMultiply, kDivide, kMaximum, kMinimum };

template <class T>
bool combine(const PerIsa<IntegerFunction<T>>& combine, const BinaryPlan& plan, bool subtract) {
  combine(plan.loops.data(), static_cast<int64_t>(plan.loops.size()), static_cast<const T*>(plan.a),
          static_cast<const T*>(plan.b), subtract, static_cast<T*>(plan.out));
  return true;
}

/// Sums and differences of integers that lie beside each other, as the places of max-pools do.
bool run_integers(const BinaryPlan& plan, bool subtract) {
  const auto& step = plan.loops.back().step;
  const bool dense = step[0] == 1 && step[1] == 1 && step[2] == 1;
  if (plan.b == nullptr || plan.alpha != 1 || !dense) return false;
  if constexpr (kHasInt64) {
    if (plan.type == ScalarType::Long) return combine(compute::combine_integers, plan, subtract);
  }
  if constexpr (kHasUint8) {
    if (plan.type == ScalarType::Byte) return combine(compute::combine_bytes, plan, subtract);
  }
  return false;
}

/// @param floats the same operation of float32
void run_arithmetic(Binary operation, const PerIsa<BinaryFunction>& floats, const BinaryPlan& plan) {
  if (operation == Binary::kAdd && run_integers(plan, false)) return;
  if (operation == Binary::kSubtract && run_integers(plan, true)) return;
  with_other(plan, [&](auto zero, const auto* b) {
    using T = decltype(zero);
    const auto* a = static_cast<const T*>(plan.a);
    auto* out = static_cast<T*>(plan.out);
    const T alpha = static_cast<T>(plan.alpha);
    if constexpr (std::is_same_v<T, float>) {
      Loops<3> loops = plan.loops;
      spread(loops, 1, a);
      spread(loops, 2, b);
      const auto depth = static_cast<int64_t>(loops.size());
      return floats(loops.data(), depth, a, b, alpha, out);
    }
    switch (operation) {
      case Binary::kAdd:
        return map(plan.loops, [=](T x, T y) { return static_cast<T>(x + alpha * y); }, out, a, b);
      case Binary::kSubtract:
        return map(plan.loops, [=](T x, T y) { return static_cast<T>(x - alpha * y); }, out, a, b);
      case Binary::kMultiply:
        return map(plan.loops, [](T x, T y) { return static_cast<T>(x * y); }, out, a, b);
      case Binary::kDivide:
        if constexpr (std::is_floating_point_v<T>) map(plan.loops, [](T x, T y) { return x / y; }, out, a, b);
        return;
      case Binary::kMaximum:
        return map(plan.loops, [](T x, T y) { return x > y || x != x ? x : y; }, out, a, b);
      case Binary::kMinimum:
        return map(plan.loops, [](T x, T y) { return x < y || x != x ? x : y; }, out, a, b);
    }
  });
}

constexpr char kAdd[] = "aten::add.out", kAddScalar[] = "aten::add.Scalar_out", kSub[] = "aten::sub.out",
               kSubScalar[] = "aten::sub.Scalar_out", kMul[] = "aten::mul.out",
               kMulScalar[] = "aten::mul.Scalar_out", kDiv[] = "aten::div.out",
               kDivScalar[] = "aten::div.Scalar_out", kMaximum[] = "aten::maximum.out",
               kMinimum[] = "aten::minimum.out";

/// (self, other, alpha) → out, and without alpha
std::optional<BinaryPlan> plan_arithmetic(Binary operation, bool has_alpha, Stack stack) {
  const auto &self = stack[0]->toTensor(), &out = stack[has_alpha ? 3 : 2]->toTensor();
  const auto type = self.scalar_type();
  // PyTorch divides integers into floats, and takes no difference of bools.
  if (operation == Binary::kDivide && !is_floating(type)) return {};
  if (operation == Binary::kSubtract && type == ScalarType::Bool) return {};
  if (!stack[1]->isTensor() && !keeps_type(type, *stack[1])) return {};
  if (has_alpha && !keeps_type(type, *stack[2])) return {};
  return plan_binary(self, *stack[1], has_alpha ? scalar(*stack[2]) : 1.0, out, type);
}

template <const char* kOperator, Binary kOperation, const PerIsa<BinaryFunction>& kFloats, bool kAlpha>
struct Arithmetic {
  static constexpr const char* kName = kOperator;
  static std::optional<BinaryPlan> plan(Stack stack) { return plan_arithmetic(kOperation, kAlpha, stack); }
  static void run(const BinaryPlan& plan) { run_arithmetic(kOperation, kFloats, plan); }
};

enum class Comparison { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual };

template <class T>
bool holds(Comparison operation, T x, T y) {
  switch (operation) {
    case Comparison::kEqual:
      return x == y;
    case Comparison::kNotEqual:
      return x != y;
    case Comparison::kLess:
      return x < y;
    case Comparison::kLessEqual:
      return x <= y;
    case Comparison::kGreater:
      return x > y;
    default:
      return x >= y;
  }
}

void run_comparison(Comparison operation, const PerIsa<ComparisonFunction>& floats, const BinaryPlan& plan) {
  with_other(plan, [&](auto zero, const auto* b) {
    using T = decltype(zero);
    const auto* a = static_cast<const T*>(plan.a);
    auto* out = static_cast<bool*>(plan.out);
    if constexpr (std::is_same_v<T, float>) {
      const auto depth = static_cast<int64_t>(plan.loops.size());
      floats(plan.loops.data(), depth, a, b, out);
    } else {
      map(plan.loops, [operation](T x, T y) { return holds(operation, x, y); }, out, a, b);
    }
  });
}

constexpr char kEq[] = "aten::eq.Tensor_out", kEqScalar[] = "aten::eq.Scalar_out",
               kNe[] = "aten::ne.Tensor_out", kNeScalar[] = "aten::ne.Scalar_out",
               kLt[] = "aten::lt.Tensor_out", kLtScalar[] = "aten::lt.Scalar_out",
               kLe[] = "aten::le.Tensor_out", kLeScalar[] = "aten::le.Scalar_out",
               kGt[] = "aten::gt.Tensor_out", kGtScalar[] = "aten::gt.Scalar_out",
               kGe[] = "aten::ge.Tensor_out", kGeScalar[] = "aten::ge.Scalar_out";

/// Whether a number is one of the integers of a type.
bool is_element(ScalarType type, const EValue& value) {
  const double number = scalar(value);
  bool is_one = false;
  visit(type, [&](auto zero) {
    using Limits = std::numeric_limits<decltype(zero)>;
    const bool inside = number >= static_cast<double>(Limits::lowest()) && number < 0x1p62 &&
                        number <= static_cast<double>(Limits::max());
    is_one = inside && static_cast<double>(static_cast<decltype(zero)>(number)) == number;
  });
  return is_one;
}

/// (self, other) → out
std::optional<BinaryPlan> plan_comparison(Stack stack) {
  const auto& self = stack[0]->toTensor();
  const auto type = self.scalar_type();
  // Floats are compared in their own type. A number that integers can't be would be compared as another one.
  if (!stack[1]->isTensor() && !is_floating(type) && !is_element(type, *stack[1])) return {};
  return plan_binary(self, *stack[1], 1.0, stack[2]->toTensor(), ScalarType::Bool);
}

template <const char* kOperator, Comparison kOperation, const PerIsa<ComparisonFunction>& kFloats>
struct Compare {
  static constexpr const char* kName = kOperator;
  static std::optional<BinaryPlan> plan(Stack stack) { return plan_comparison(stack); }
  static void run(const BinaryPlan& plan) { run_comparison(kOperation, kFloats, plan); }
};

/// (condition, self, other) → out
struct Where {
  struct Plan {
    Loops<4> loops;
    ssize_t element;  // bytes of one
    const bool* condition;
    const void *yes, *no;
    void* out;
  };
  static constexpr char kName[] = "aten::where.self_out";
  static std::optional<Plan> plan(Stack stack) {
    const auto &condition = stack[0]->toTensor(), &yes = stack[1]->toTensor(), &no = stack[2]->toTensor();
    const auto& out = stack[3]->toTensor();
    const auto type = out.scalar_type();
    const bool dense = is_dense(yes, type) && is_dense(no, type) && is_dense(out, type);
    if (!is_visited(type) || !dense || !is_dense(condition, ScalarType::Bool)) return {};
    const auto sizes = broadcast_sizes(condition, yes, no);
    if (!sizes || !resize(out, *sizes)) return {};
    return Plan{broadcast_loops(*sizes, condition, yes, no),
                out.element_size(),
                condition.const_data_ptr<bool>(),
                yes.const_data_ptr(),
                no.const_data_ptr(),
                out.mutable_data_ptr()};
  }
  static void run(const Plan& plan) {
    if (plan.element == sizeof(float)) {
      // Floats or not: bytes are copied.
      const auto *yes = static_cast<const float*>(plan.yes), *no = static_cast<const float*>(plan.no);
      return compute::select(plan.loops.data(), static_cast<int64_t>(plan.loops.size()), plan.condition, yes,
                             no, static_cast<float*>(plan.out));
    }
    visit_bytes(plan.element, [&](auto zero) {
      using T = decltype(zero);
      const auto *yes = static_cast<const T*>(plan.yes), *no = static_cast<const T*>(plan.no);
      map(
          plan.loops, [](bool c, T x, T y) { return c ? x : y; }, static_cast<T*>(plan.out), plan.condition,
          yes, no);
    });
  }
};

}  // namespace

std::vector<Kernel> elementwise_kernels() {
  return kernels_of<Arithmetic<kAdd, Binary::kAdd, compute::add, true>,
                    Arithmetic<kAddScalar, Binary::kAdd, compute::add, true>,
                    Arithmetic<kSub, Binary::kSubtract, compute::subtract, true>,
                    Arithmetic<kSubScalar, Binary::kSubtract, compute::subtract, true>,
                    Arithmetic<kMul, Binary::kMultiply, compute::multiply, false>,
                    Arithmetic<kMulScalar, Binary::kMultiply, compute::multiply, false>,
                    Arithmetic<kDiv, Binary::kDivide, compute::divide, false>,
                    Arithmetic<kDivScalar, Binary::kDivide, compute::divide, false>,
                    Arithmetic<kMaximum, Binary::kMaximum, compute::maximum, false>,
                    Arithmetic<kMinimum, Binary::kMinimum, compute::minimum, false>,
                    Compare<kEq, Comparison::kEqual, compute::equal>,
                    Compare<kEqScalar, Comparison::kEqual, compute::equal>,
                    Compare<kNe, Comparison::kNotEqual, compute::not_equal>,
                    Compare<kNeScalar, Comparison::kNotEqual, compute::not_equal>,
                    Compare<kLt, Comparison::kLess, compute::less>,
                    Compare<kLtScalar, Comparison::kLess, compute::less>,
                    Compare<kLe, Comparison::kLessEqual, compute::less_equal>,
                    Compare<kLeScalar, Comparison::kLessEqual, compute::less_equal>,
                    Compare<kGt, Comparison::kGreater, compute::greater>,
                    Compare<kGtScalar, Comparison::kGreater, compute::greater>,
                    Compare<kGe, Comparison::kGreaterEqual, compute::greater_equal>,
                    Compare<kGeScalar, Comparison::kGreaterEqual, compute::greater_equal>, Where>();
}

}  // namespace edgetrain::kernels
