#include "reduction.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "compute.h"
#include "loops.h"
#include "types.h"

namespace edgetrain::kernels {
namespace {

/// Loops over what is kept, whose operands are the result and the input, and over what is reduced.
struct Reduction {
  ScalarType type;
  Loops<2> kept;
  Loops<1> reduced;
  int64_t count;              // of the elements that become one
  std::vector<int64_t> runs;  // sizes of runs of dimensions that are kept, reduced, kept ...
  const void* from;
  void* to;
};

/// @param dims none for all
std::optional<Reduction> plan_reduction(const Tensor& self, const std::vector<int64_t>& dims, bool keep,
                                        const Tensor& out, ScalarType out_type) {
  const auto type = self.scalar_type();
  if (!is_visited(type) || !is_dense(self, type) || !is_dense(out, out_type)) return {};
  std::vector<bool> is_reduced(static_cast<size_t>(self.dim()), dims.empty());
  for (const int64_t dim : dims) {
    const int64_t front = from_front(dim, self.dim());
    if (front < 0) return {};
    is_reduced[static_cast<size_t>(front)] = true;
  }
  Reduction plan = {type, {}, {}, 1, {1}, self.const_data_ptr(), nullptr};
  std::vector<int64_t> sizes;
  const auto own = dense_steps(sizes_of(self));
  for (size_t i = 0; i < own.size(); ++i) {
    const int64_t size = self.size(static_cast<int64_t>(i));
    if (!is_reduced[i] || keep) sizes.push_back(is_reduced[i] ? 1 : size);
    if (is_reduced[i]) {
      plan.reduced.push_back({size, {own[i]}});
      plan.count *= size;
    } else {
      plan.kept.push_back({size, {0, own[i]}});
    }
    if (size == 1) continue;
    if (is_reduced[i] != (plan.runs.size() % 2 == 0)) plan.runs.push_back(1);
    plan.runs.back() *= size;
  }
  int64_t step = 1;
  for (size_t i = plan.kept.size(); i-- > 0; step *= plan.kept[i].size) plan.kept[i].step[0] = step;
  plan.kept = merge(plan.kept);
  plan.reduced = merge(plan.reduced);
  if (!resize(out, sizes)) return {};
  plan.to = out.mutable_data_ptr();
  return plan;
}

std::vector<int64_t> dims_of(const EValue& value) {
  if (value.isNone()) return {};
  const auto list = value.toIntList();
  return {list.begin(), list.end()};
}

/// Each result is value(the first of the elements that become it).
template <class From, class To, class Value>
void for_each_result(const Reduction& plan, const Value& value) {
  const auto* from = static_cast<const From*>(plan.from);
  auto* to = static_cast<To*>(plan.to);
  const auto& kept = plan.kept.back();
  for_each_row(plan.kept, [&](const auto& place) {
    for (int64_t k = 0; k < kept.size; ++k)
      to[place[0] + k * kept.step[0]] = value(from + place[1] + k * kept.step[1]);
  });
}

/// All elements that become one, combined from `first` on.
template <class From, class Sum, class Combine>
Sum combined(const Loops<1>& reduced, const From* start, Sum first, const Combine& combine) {
  Sum sum = first;
  for_each_row(reduced, [&](const auto& at) {
    const From* row = start + at[0];
    for (int64_t i = 0; i < reduced.back().size; ++i) sum = combine(sum, row[i * reduced.back().step[0]]);
  });
  return sum;
}

/// Each result is finish(of all elements combined, from `first` on).
template <class From, class To, class Sum, class Combine, class Finish>
void fold(const Reduction& plan, Sum first, const Combine& combine, const Finish& finish) {
  for_each_result<From, To>(
      plan, [&](const From* start) { return finish(combined(plan.reduced, start, first, combine)); });
}

/// Whether the vectorised sums did it: of one run, or of all but the channels.
bool sum_vectors(const Reduction& plan, double factor) {
  const auto& runs = plan.runs;
  const auto* from = static_cast<const float*>(plan.from);
  auto* to = static_cast<float*>(plan.to);
  const auto size = [&runs](size_t i) { return i < runs.size() ? runs[i] : 1; };
  for (const int64_t run : runs) {
    if (run == 0) return false;
  }
  if (runs.size() <= 3) {
    compute::sum_middle(from, size(0), size(1), size(2), static_cast<float>(factor), to);
  } else if (runs.size() == 4 && runs[0] == 1 && factor == 1) {
    compute::sum_channels(from, runs[1], runs[2], runs[3], to);
  } else {
    return false;
  }
  return true;
}

void run_sum(bool mean, const Reduction& plan) {
  const double factor = mean ? 1.0 / static_cast<double>(plan.count) : 1.0;
  visit(plan.type, [&](auto zero) {
    using T = decltype(zero);
    if constexpr (std::is_same_v<T, float>) {
      if (sum_vectors(plan, factor)) return;
    }
    if constexpr (std::is_floating_point_v<T>) {
      fold<T, T>(
          plan, 0.0, [](double sum, T value) { return sum + static_cast<double>(value); },
          [=](double sum) { return static_cast<T>(factor * sum); });
    } else {
      fold<T, int64_t>(
          plan, int64_t{0}, [](int64_t sum, T value) { return sum + static_cast<int64_t>(value); },
          [](int64_t sum) { return sum; });
    }
  });
}

constexpr char kSum[] = "aten::sum.IntList_out", kMean[] = "aten::mean.out";

/// (self, dim?, keepdim, dtype?) → out
template <const char* kOperator, bool kIsMean>
struct Sum {
  static constexpr const char* kName = kOperator;
  static std::optional<Reduction> plan(Stack stack) {
    const auto& self = stack[0]->toTensor();
    const auto type = self.scalar_type();
    if (kIsMean && !is_floating(type)) return {};
    return plan_reduction(self, dims_of(*stack[1]), stack[2]->toBool(), stack[4]->toTensor(),
                          is_floating(type) ? type : ScalarType::Long);
  }
  static void run(const Reduction& plan) { run_sum(kIsMean, plan); }
};

/// (self, dtype?) → out
struct MeanOfAll {
  static constexpr char kName[] = "aten::mean.dtype_out";
  static std::optional<Reduction> plan(Stack stack) {
    const auto& self = stack[0]->toTensor();
    const auto type = self.scalar_type();
    if (!is_floating(type)) return {};
    return plan_reduction(self, {}, false, stack[2]->toTensor(), type);
  }
  static void run(const Reduction& plan) { run_sum(true, plan); }
};

/// (self, dim?, correction?, keepdim) → out
struct Variance {
  struct Plan {
    Reduction reduction;
    double divisor;
  };
  static constexpr char kName[] = "aten::var.correction_out";
  static std::optional<Plan> plan(Stack stack) {
    const auto& self = stack[0]->toTensor();
    const auto type = self.scalar_type();
    if (!is_floating(type)) return {};
    auto reduction = plan_reduction(self, dims_of(*stack[1]), stack[3]->toBool(), stack[4]->toTensor(), type);
    if (!reduction) return {};
    const double correction = stack[2]->isNone() ? 1 : scalar(*stack[2]);
    const double divisor = std::max(0.0, static_cast<double>(reduction->count) - correction);
    return Plan{std::move(*reduction), divisor};
  }
  static void run(const Plan& plan) {
    plan.reduction.type == ScalarType::Float ? run_as<float>(plan) : run_as<double>(plan);
  }

 private:
  template <class T>
  static void run_as(const Plan& plan) {
    const auto& loops = plan.reduction.reduced;
    for_each_result<T, T>(plan.reduction, [&](const T* start) {
      const double sum =
          combined(loops, start, 0.0, [](double s, T x) { return s + static_cast<double>(x); });
      const double mean = sum / static_cast<double>(plan.reduction.count);
      const double squares = combined(loops, start, 0.0, [mean](double s, T x) {
        const double distance = static_cast<double>(x) - mean;
        return s + distance * distance;
      });
      return static_cast<T>(squares / plan.divisor);
    });
  }
};

/// NaN wins.
void run_extreme(bool max, const Reduction& plan) {
  visit(plan.type, [&](auto zero) {
    using T = decltype(zero);
    using Limits = std::numeric_limits<T>;
    constexpr T kTop = Limits::has_infinity ? Limits::infinity() : Limits::max();
    constexpr T kBottom = Limits::has_infinity ? -Limits::infinity() : Limits::lowest();
    fold<T, T>(
        plan, max ? kBottom : kTop,
        [max](T best, T value) {
          const bool wins = max ? value > best : value < best;
          return wins || value != value ? value : best;
        },
        [](T best) { return best; });
  });
}

constexpr char kAmax[] = "aten::amax.out", kAmin[] = "aten::amin.out";

/// (self, dim, keepdim) → out
template <const char* kOperator, bool kIsMax>
struct Extreme {
  static constexpr const char* kName = kOperator;
  static std::optional<Reduction> plan(Stack stack) {
    const auto& self = stack[0]->toTensor();
    auto plan = plan_reduction(self, dims_of(*stack[1]), stack[2]->toBool(), stack[3]->toTensor(),
                               self.scalar_type());
    if (!plan || plan->count == 0) return {};
    return plan;
  }
  static void run(const Reduction& plan) { run_extreme(kIsMax, plan); }
};

enum class Truth { kAny, kAll };

std::optional<Reduction> plan_truth(Stack stack, const std::vector<int64_t>& dims, bool keep, size_t out) {
  return plan_reduction(stack[0]->toTensor(), dims, keep, stack[out]->toTensor(), ScalarType::Bool);
}

/// Rows of bools are bytes to look through for one that decides.
void run_truth_of_rows(Truth truth, const Reduction& plan) {
  const bool decides = truth == Truth::kAny;
  for_each_result<bool, bool>(plan, [&](const bool* row) {
    const bool found = std::memchr(row, decides, static_cast<size_t>(plan.count)) != nullptr;
    return found == decides;
  });
}

void run_truth(Truth truth, const Reduction& plan) {
  const bool rows = plan.reduced.size() == 1 && (plan.count == 1 || plan.reduced[0].step[0] == 1);
  if (plan.type == ScalarType::Bool && rows && plan.count > 0) return run_truth_of_rows(truth, plan);
  visit(plan.type, [&](auto zero) {
    using T = decltype(zero);
    fold<T, bool>(
        plan, truth == Truth::kAll,
        [truth](bool held, T value) {
          const bool holds = value != T();
          return truth == Truth::kAll ? held && holds : held || holds;
        },
        [](bool held) { return held; });
  });
}

constexpr char kAnyAll[] = "aten::any.all_out", kAllAll[] = "aten::all.all_out";

/// (self) → out
template <const char* kOperator, Truth kTruth>
struct TruthOfAll {
  static constexpr const char* kName = kOperator;
  static std::optional<Reduction> plan(Stack stack) { return plan_truth(stack, {}, false, 1); }
  static void run(const Reduction& plan) { run_truth(kTruth, plan); }
};

constexpr char kAnyDim[] = "aten::any.out", kAllDim[] = "aten::all.out";

/// (self, dim, keepdim) → out
template <const char* kOperator, Truth kTruth>
struct TruthAlong {
  static constexpr const char* kName = kOperator;
  static std::optional<Reduction> plan(Stack stack) {
    return plan_truth(stack, {stack[1]->toInt()}, stack[2]->toBool(), 3);
  }
  static void run(const Reduction& plan) { run_truth(kTruth, plan); }
};

/// (self, dim?, keepdim) → out
struct AnyDims {
  static constexpr char kName[] = "aten::any.dims_out";
  static std::optional<Reduction> plan(Stack stack) {
    return plan_truth(stack, dims_of(*stack[1]), stack[2]->toBool(), 3);
  }
  static void run(const Reduction& plan) { run_truth(Truth::kAny, plan); }
};

}  // namespace

std::vector<Kernel> reduction_kernels() {
  return kernels_of<Sum<kSum, false>, Sum<kMean, true>, MeanOfAll, Variance, Extreme<kAmax, true>,
                    Extreme<kAmin, false>, TruthOfAll<kAnyAll, Truth::kAny>, TruthOfAll<kAllAll, Truth::kAll>,
                    TruthAlong<kAnyDim, Truth::kAny>, TruthAlong<kAllDim, Truth::kAll>, AnyDims>();
}

}  // namespace edgetrain::kernels
