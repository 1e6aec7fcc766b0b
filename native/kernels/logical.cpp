#include "logical.h"

#include "compute.h"
#include "loops.h"
#include "types.h"

namespace edgetrain::kernels {
namespace {

template <class T>
T combine(Bits operation, T x, T y) {
  switch (operation) {
    case Bits::kAnd:
      return static_cast<T>(x & y);
    case Bits::kOr:
      return static_cast<T>(x | y);
    default:
      return static_cast<T>(x ^ y);
  }
}

/// Two operands of one type; logical operators make every number a bool first.
struct Plan {
  Loops<3> loops;
  ScalarType type;
  const void *a, *b;
  void* out;
};

std::optional<Plan> plan_bits(bool logical, const Tensor& a, const Tensor& b, const Tensor& out) {
  const auto type = a.scalar_type();
  if (!is_visited(type) || !is_dense(a, type) || !is_dense(b, type)) return {};
  if (!is_dense(out, logical ? ScalarType::Bool : type) || (!logical && is_floating(type))) return {};
  const auto sizes = broadcast_sizes(a, b);
  if (!sizes || !resize(out, *sizes)) return {};
  return Plan{broadcast_loops(*sizes, a, b), type, a.const_data_ptr(), b.const_data_ptr(),
              out.mutable_data_ptr()};
}

bool is_one_row(const Loops<3>& loops) {
  const auto& step = loops.back().step;
  return loops.size() == 1 && step[0] == 1 && step[1] == 1 && step[2] == 1;
}

void run_bits(Bits operation, bool logical, const Plan& plan) {
  if (is_one_row(plan.loops) && (!logical || plan.type == ScalarType::Bool)) {
    const auto bytes =
        plan.loops.back().size * static_cast<int64_t>(executorch::runtime::elementSize(plan.type));
    return compute::combine_bits(operation, static_cast<const uint8_t*>(plan.a),
                                 static_cast<const uint8_t*>(plan.b), bytes, static_cast<uint8_t*>(plan.out));
  }
  visit(plan.type, [&](auto zero) {
    using T = decltype(zero);
    const auto *a = static_cast<const T*>(plan.a), *b = static_cast<const T*>(plan.b);
    if (logical) {
      const auto both = [operation](T x, T y) { return combine<bool>(operation, x != T(), y != T()); };
      map(plan.loops, both, static_cast<bool*>(plan.out), a, b);
    } else if constexpr (std::is_integral_v<T>) {
      const auto both = [operation](T x, T y) { return combine<T>(operation, x, y); };
      map(plan.loops, both, static_cast<T*>(plan.out), a, b);
    }
  });
}

constexpr char kLogicalAnd[] = "aten::logical_and.out", kLogicalOr[] = "aten::logical_or.out",
               kLogicalXor[] = "aten::logical_xor.out", kBitwiseAnd[] = "aten::bitwise_and.Tensor_out",
               kBitwiseOr[] = "aten::bitwise_or.Tensor_out", kBitwiseXor[] = "aten::bitwise_xor.Tensor_out";

/// (self, other) → out
template <const char* kOperator, Bits kOperation, bool kLogical>
struct Combine {
  static constexpr const char* kName = kOperator;
  static std::optional<Plan> plan(Stack stack) {
    return plan_bits(kLogical, stack[0]->toTensor(), stack[1]->toTensor(), stack[2]->toTensor());
  }
  static void run(const Plan& plan) { run_bits(kOperation, kLogical, plan); }
};

}  // namespace

std::vector<Kernel> logical_kernels() {
  return kernels_of<Combine<kLogicalAnd, Bits::kAnd, true>, Combine<kLogicalOr, Bits::kOr, true>,
                    Combine<kLogicalXor, Bits::kXor, true>, Combine<kBitwiseAnd, Bits::kAnd, false>,
                    Combine<kBitwiseOr, Bits::kOr, false>, Combine<kBitwiseXor, Bits::kXor, false>>();
}

}  // namespace edgetrain::kernels
