#include "creation.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "blocking.h"
#include "compute.h"
#include "parallel.h"
#include "types.h"

namespace edgetrain::kernels {
namespace {

/// An output, and the number that all its elements shall be.
struct FillPlan {
  ScalarType type;
  void* to;
  int64_t count;
  const EValue* value;  // or null
  int64_t missing;      // the number where there is no value
};

std::optional<FillPlan> plan_fill(const std::vector<int64_t>& sizes, const EValue* value, int64_t missing,
                                  const Tensor& out) {
  const auto type = out.scalar_type();
  // A number that is no whole one can't be an element of a tensor of integers.
  const bool fits = value == nullptr || type == ScalarType::Bool || keeps_type(type, *value);
  if (!is_visited(type) || !is_dense(out, type) || !fits || !resize(out, sizes)) return {};
  return FillPlan{type, out.mutable_data_ptr(), out.numel(), value, missing};
}

struct Zeros {
  char* to;
  int64_t bytes;
};

/// By all threads: what one has written it need not fetch from another.
void clear(const Zeros& zeros) {
  const auto parts = [](const void* context, int64_t begin, int64_t end) {
    const auto& all = *static_cast<const Zeros*>(context);
    const int64_t first = begin * kClearBytes, last = std::min(all.bytes, end * kClearBytes);
    std::memset(all.to + first, 0, static_cast<size_t>(last - first));
  };
  run_parallel((zeros.bytes + kClearBytes - 1) / kClearBytes, parts, &zeros,
               zeros.bytes >= kTasksPerThread * kClearBytes);
}

void run_fill(const FillPlan& plan) {
  visit(plan.type, [&](auto zero) {
    using T = decltype(zero);
    const T value = plan.value == nullptr ? static_cast<T>(plan.missing) : element<T>(*plan.value);
    if (value == T{0} && !std::signbit(static_cast<double>(value))) {
      clear({static_cast<char*>(plan.to), plan.count * static_cast<int64_t>(sizeof(T))});
    } else {
      std::fill_n(static_cast<T*>(plan.to), plan.count, value);
    }
  });
}

std::vector<int64_t> list_of(const EValue& value) {
  const auto list = value.toIntList();
  return {list.begin(), list.end()};
}

/// (size, fill_value) → out
struct Full {
  static constexpr char kName[] = "aten::full.out";
  static std::optional<FillPlan> plan(Stack stack) {
    return plan_fill(list_of(*stack[0]), stack[1], 0, stack[2]->toTensor());
  }
  static void run(const FillPlan& plan) { run_fill(plan); }
};

/// (self, fill_value, memory_format?) → out
struct FullLike {
  static constexpr char kName[] = "aten::full_like.out";
  static std::optional<FillPlan> plan(Stack stack) {
    return plan_fill(sizes_of(stack[0]->toTensor()), stack[1], 0, stack[3]->toTensor());
  }
  static void run(const FillPlan& plan) { run_fill(plan); }
};

/// (self, value) → out
struct FillScalar {
  static constexpr char kName[] = "aten::fill.Scalar_out";
  static std::optional<FillPlan> plan(Stack stack) {
    return plan_fill(sizes_of(stack[0]->toTensor()), stack[1], 0, stack[2]->toTensor());
  }
  static void run(const FillPlan& plan) { run_fill(plan); }
};

/// (s) → out
struct ScalarTensor {
  static constexpr char kName[] = "aten::scalar_tensor.out";
  static std::optional<FillPlan> plan(Stack stack) {
    return plan_fill({}, stack[0], 0, stack[1]->toTensor());
  }
  static void run(const FillPlan& plan) { run_fill(plan); }
};

constexpr char kZeros[] = "aten::zeros.out", kOnes[] = "aten::ones.out", kEmpty[] = "aten::empty.out";

/// (size, ..) → out
template <const char* kOperator, int64_t kValue, size_t kOutput>
struct Constant {
  static constexpr const char* kName = kOperator;
  static std::optional<FillPlan> plan(Stack stack) {
    return plan_fill(list_of(*stack[0]), nullptr, kValue, stack[kOutput]->toTensor());
  }
  static void run(const FillPlan& plan) { run_fill(plan); }
};

constexpr char kZerosLike[] = "aten::zeros_like.out", kOnesLike[] = "aten::ones_like.out";

/// (self, memory_format?) → out
template <const char* kOperator, int64_t kValue>
struct ConstantLike {
  static constexpr const char* kName = kOperator;
  static std::optional<FillPlan> plan(Stack stack) {
    return plan_fill(sizes_of(stack[0]->toTensor()), nullptr, kValue, stack[2]->toTensor());
  }
  static void run(const FillPlan& plan) { run_fill(plan); }
};

/// (start, end, step) → out
struct Arange {
  struct Plan {
    double start, step;
    ScalarType type;
    int64_t count;
    void* to;
  };
  static constexpr char kName[] = "aten::arange.start_out";
  static std::optional<Plan> plan(Stack stack) {
    return plan_range(scalar(*stack[0]), scalar(*stack[1]), scalar(*stack[2]), stack[3]->toTensor());
  }
  static std::optional<Plan> plan_range(double start, double end, double step, const Tensor& out) {
    const auto type = out.scalar_type();
    const double count = std::ceil((end - start) / step);
    if (!is_visited(type) || type == ScalarType::Bool || !is_dense(out, type)) return {};
    if (!(count >= 0 && count <= static_cast<double>(INT32_MAX))) return {};
    if (!resize(out, {static_cast<int64_t>(count)})) return {};
    return Plan{start, step, type, out.numel(), out.mutable_data_ptr()};
  }
  static void run(const Plan& plan) {
    visit(plan.type, [&](auto zero) {
      using T = decltype(zero);
      for (int64_t i = 0; i < plan.count; ++i) {
        static_cast<T*>(plan.to)[i] = static_cast<T>(plan.start + static_cast<double>(i) * plan.step);
      }
    });
  }
};

/// (end) → out
struct ArangeEnd : Arange {
  static constexpr char kName[] = "aten::arange.out";
  static std::optional<Plan> plan(Stack stack) {
    return plan_range(0, scalar(*stack[0]), 1, stack[1]->toTensor());
  }
};

/// A copy with elements of another type.
struct Conversion {
  ScalarType from_type, to_type;
  const void* from;
  int64_t count;
  void* to;
};

/// Between places and bytes, as those of max-pools are kept.
bool run_integers(const Conversion& plan) {
  if constexpr (!kHasInt64 || !kHasUint8) return false;
  if (plan.from_type == ScalarType::Long && plan.to_type == ScalarType::Byte) {
    compute::bytes_of_integers(static_cast<const uint64_t*>(plan.from), plan.count,
                               static_cast<uint8_t*>(plan.to));
    return true;
  }
  if (plan.from_type != ScalarType::Byte || plan.to_type != ScalarType::Long) return false;
  compute::integers_of_bytes(static_cast<const uint8_t*>(plan.from), plan.count,
                             static_cast<uint64_t*>(plan.to));
  return true;
}

void run_conversion(const Conversion& plan) {
  if (run_integers(plan)) return;
  visit(plan.from_type, [&](auto source) {
    visit(plan.to_type, [&](auto target) {
      using From = decltype(source);
      using To = decltype(target);
      const auto* from = static_cast<const From*>(plan.from);
      std::transform(from, from + plan.count, static_cast<To*>(plan.to),
                     [](From value) { return static_cast<To>(value); });
    });
  });
}

constexpr char kToCopy[] = "aten::_to_copy.out", kToDimOrder[] = "dim_order_ops::_to_dim_order_copy.out";

/// (self, non_blocking, what the memory's order shall be) → out
template <const char* kOperator>
struct Convert {
  static constexpr const char* kName = kOperator;
  static std::optional<Conversion> plan(Stack stack) {
    const auto &self = stack[0]->toTensor(), &out = stack[3]->toTensor();
    const auto from = self.scalar_type(), to = out.scalar_type();
    if (!are_dense_of_any_type(self, out) || !is_visited(from) || !is_visited(to)) return {};
    if (!resize(out, sizes_of(self))) return {};
    return Conversion{from, to, self.const_data_ptr(), self.numel(), out.mutable_data_ptr()};
  }
  static void run(const Conversion& plan) { run_conversion(plan); }
};

}  // namespace

std::vector<Kernel> creation_kernels() {
  return kernels_of<Full, FullLike, FillScalar, ScalarTensor, Constant<kZeros, 0, 1>, Constant<kOnes, 1, 1>,
                    Constant<kEmpty, 0, 2>, ConstantLike<kZerosLike, 0>, ConstantLike<kOnesLike, 1>, Arange,
                    ArangeEnd, Convert<kToCopy>, Convert<kToDimOrder>>();
}

}  // namespace edgetrain::kernels
