#include "elementwise.h"

#include <algorithm>
#include <cstring>

#include "isa.h"

namespace edgetrain::kernels {
namespace {

/// A dimension that is gone through, and how far its elements lie apart in both operands: 0 where one is
/// broadcast.
struct Dimension {
  int64_t size, a, b;
};

/// The dimensions of a result with as many as possible made one. The last one is the inner loop.
std::optional<std::vector<Dimension>> broadcast(const Tensor& a, const Tensor& b,
                                                std::vector<int64_t>& sizes) {
  const int64_t dims = std::max(a.dim(), b.dim());
  sizes.assign(static_cast<size_t>(dims), 1);
  std::vector<Dimension> merged = {{1, 0, 0}};
  int64_t a_stride = 1, b_stride = 1;
  for (int64_t i = 1; i <= dims; ++i) {  // from the last on
    const int64_t a_size = i <= a.dim() ? a.size(a.dim() - i) : 1;
    const int64_t b_size = i <= b.dim() ? b.size(b.dim() - i) : 1;
    if (a_size != b_size && a_size != 1 && b_size != 1) return {};
    const int64_t size = a_size == 1 ? b_size : a_size;
    sizes[static_cast<size_t>(dims - i)] = size;
    const Dimension next = {size, a_size == 1 ? 0 : a_stride, b_size == 1 ? 0 : b_stride};
    a_stride *= a_size;
    b_stride *= b_size;
    if (size == 1) continue;
    Dimension& last = merged.back();
    if (last.size == 1) {
      last = next;
    } else if (next.a == last.a * last.size && next.b == last.b * last.size) {
      last.size *= size;
    } else {
      merged.push_back(next);
    }
  }
  std::reverse(merged.begin(), merged.end());
  return merged;
}

struct BinaryPlan {
  std::vector<Dimension> dimensions;
  const float *a, *b;
  float alpha;
  float* out;
};

std::optional<BinaryPlan> plan_binary(const Tensor& a, const Tensor& b, float alpha, const Tensor& out) {
  if (!are_dense(a, b, out)) return {};
  std::vector<int64_t> sizes;
  auto dimensions = broadcast(a, b, sizes);
  if (!dimensions || !resize(out, sizes)) return {};
  return BinaryPlan{std::move(*dimensions), a.const_data_ptr<float>(), b.const_data_ptr<float>(), alpha,
                    out.mutable_data_ptr<float>()};
}

void run_binary(Binary operation, const BinaryPlan& plan) {
  const Dimension& inner = plan.dimensions.back();
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < plan.dimensions.size(); ++i) rows *= plan.dimensions[i].size;
  if (inner.size == 0) return;
  for (int64_t row = 0; row < rows; ++row) {
    int64_t a = 0, b = 0, rest = row;
    for (size_t i = plan.dimensions.size() - 1; i-- > 0;) {
      const Dimension& d = plan.dimensions[i];
      a += rest % d.size * d.a;
      b += rest % d.size * d.b;
      rest /= d.size;
    }
    compute().binary(operation, {plan.a + a, inner.a}, {plan.b + b, inner.b}, plan.alpha, inner.size,
                     plan.out + row * inner.size);
  }
}

constexpr char kAddName[] = "aten::add.out", kSubName[] = "aten::sub.out";
constexpr char kMulName[] = "aten::mul.out", kDivName[] = "aten::div.out";

/// (self, other, alpha) → out
template <const char* kOperator, Binary kOperation>
struct Sum {
  static constexpr const char* kName = kOperator;
  static std::optional<BinaryPlan> plan(Stack stack) {
    return plan_binary(stack[0]->toTensor(), stack[1]->toTensor(), static_cast<float>(scalar(*stack[2])),
                       stack[3]->toTensor());
  }
  static void run(const BinaryPlan& plan) { run_binary(kOperation, plan); }
};

/// (self, other) → out
template <const char* kOperator, Binary kOperation>
struct Product {
  static constexpr const char* kName = kOperator;
  static std::optional<BinaryPlan> plan(Stack stack) {
    return plan_binary(stack[0]->toTensor(), stack[1]->toTensor(), 1.0F, stack[2]->toTensor());
  }
  static void run(const BinaryPlan& plan) { run_binary(kOperation, plan); }
};

struct UnaryPlan {
  const float* from;
  int64_t count;
  float* to;
};

/// (self) → out
struct Relu {
  static constexpr char kName[] = "aten::relu.out";
  static std::optional<UnaryPlan> plan(Stack stack) {
    const auto &self = stack[0]->toTensor(), &out = stack[1]->toTensor();
    if (!are_dense(self, out) || !resize(out, sizes_of(self))) return {};
    return UnaryPlan{self.const_data_ptr<float>(), self.numel(), out.mutable_data_ptr<float>()};
  }
  static void run(const UnaryPlan& p) { compute().relu(p.from, p.count, p.to); }
};

/// (self, other) → out
struct LessEqual {
  struct Plan {
    const float* from;
    float value;
    int64_t count;
    bool* to;
  };
  static constexpr char kName[] = "aten::le.Scalar_out";
  static std::optional<Plan> plan(Stack stack) {
    const auto &self = stack[0]->toTensor(), &out = stack[2]->toTensor();
    const double value = scalar(*stack[1]);
    // A number that float32 can't hold would be compared as another one.
    if (static_cast<double>(static_cast<float>(value)) != value) return {};
    if (!is_dense(self) || !is_dense(out, ScalarType::Bool) || !resize(out, sizes_of(self))) return {};
    return Plan{self.const_data_ptr<float>(), static_cast<float>(value), self.numel(),
                out.mutable_data_ptr<bool>()};
  }
  static void run(const Plan& p) { compute().less_equal(p.from, p.value, p.count, p.to); }
};

/// (condition, self, other) → out; self and other are of the condition's size, or numbers
struct Where {
  struct Plan {
    const bool* condition;
    Operand yes, no;
    int64_t count;
    float* to;
  };
  static constexpr char kName[] = "aten::where.self_out";
  static std::optional<Plan> plan(Stack stack) {
    const auto &condition = stack[0]->toTensor(), &yes = stack[1]->toTensor(), &no = stack[2]->toTensor();
    const auto& out = stack[3]->toTensor();
    const auto sizes = sizes_of(condition);
    const auto fits = [&sizes](const Tensor& t) { return t.dim() == 0 || sizes_of(t) == sizes; };
    if (!are_dense(yes, no, out) || !is_dense(condition, ScalarType::Bool) || !fits(yes) || !fits(no))
      return {};
    if (!resize(out, sizes)) return {};
    const auto operand = [](const Tensor& t) {
      return Operand{t.const_data_ptr<float>(), t.dim() == 0 ? 0 : 1};
    };
    return Plan{condition.const_data_ptr<bool>(), operand(yes), operand(no), condition.numel(),
                out.mutable_data_ptr<float>()};
  }
  static void run(const Plan& p) { compute().select(p.condition, p.yes, p.no, p.count, p.to); }
};

/// (self) → out
struct AliasCopy {
  struct Plan {
    const void* from;
    size_t bytes;
    void* to;
  };
  static constexpr char kName[] = "aten::alias_copy.out";
  static std::optional<Plan> plan(Stack stack) {
    const auto &self = stack[0]->toTensor(), &out = stack[1]->toTensor();
    const auto type = self.scalar_type();
    if (!is_dense(self, type) || !is_dense(out, type) || !resize(out, sizes_of(self))) return {};
    return Plan{self.const_data_ptr(), self.nbytes(), out.mutable_data_ptr()};
  }
  static void run(const Plan& p) {
    if (p.bytes > 0) std::memcpy(p.to, p.from, p.bytes);
  }
};

}  // namespace

std::vector<Kernel> elementwise_kernels() {
  return {boxed<Sum<kAddName, Binary::kAdd>>(),
          boxed<Sum<kSubName, Binary::kSubtract>>(),
          boxed<Product<kMulName, Binary::kMultiply>>(),
          boxed<Product<kDivName, Binary::kDivide>>(),
          boxed<Relu>(),
          boxed<LessEqual>(),
          boxed<Where>(),
          boxed<AliasCopy>()};
}

}  // namespace edgetrain::kernels
