#include "indexing.h"

#include <algorithm>
#include <cstring>

#include "compute.h"
#include "loops.h"
#include "types.h"

namespace edgetrain::kernels {
namespace {

/// A tensor of indices along a dimension of another one, and where each of them points.
struct Places {
  Loops<3>
      loops;  // over the indices: what has their shape, the indices, and the tensor without the dimension
  const int64_t* index;
  int64_t step;  // of the dimension
};

/// None where an index points outside: the stock kernel says what is wrong with it.
std::optional<Places> find_places(const Tensor& self, int64_t dim, const Tensor& index) {
  const auto sizes = sizes_of(index), own = sizes_of(self);
  dim = from_front(dim, self.dim());
  if (dim < 0 || sizes.size() != own.size() || !is_dense(index, ScalarType::Long)) return {};
  const auto steps = dense_steps(sizes), own_steps = dense_steps(own);
  Loops<3> loops;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const bool along = static_cast<int64_t>(i) == dim;
    if (!along && sizes[i] > own[i]) return {};
    loops.push_back({sizes[i], {steps[i], steps[i], along ? 0 : own_steps[i]}});
  }
  const auto* indices = index.const_data_ptr<int64_t>();
  bool inside = true;
  for (int64_t i = 0; i < index.numel(); ++i)
    inside &= static_cast<uint64_t>(indices[i]) < static_cast<uint64_t>(own[static_cast<size_t>(dim)]);
  if (!inside) return {};
  return Places{merge(loops), indices, own_steps[static_cast<size_t>(dim)]};
}

/// f(i, place) for each index: where it lies among the indices, and where it points.
template <class Function>
void for_each_place(const Places& places, const Function& f) {
  const auto& inner = places.loops.back();
  for_each_row(places.loops, [&](const auto& at) {
    for (int64_t i = 0; i < inner.size; ++i) {
      const int64_t here = at[0] + i * inner.step[0];
      f(here, at[2] + i * inner.step[2] + places.index[here] * places.step);
    }
  });
}

/// (self, dim, index, sparse_grad) → out
struct Gather {
  struct Plan {
    Places places;
    ScalarType type;
    const void* from;
    void* to;
  };
  static constexpr char kName[] = "aten::gather.out";
  static std::optional<Plan> plan(Stack stack) {
    const auto &self = stack[0]->toTensor(), &index = stack[2]->toTensor(), &out = stack[4]->toTensor();
    const auto type = self.scalar_type();
    if (!is_visited(type) || !is_dense(self, type) || !is_dense(out, type)) return {};
    auto places = find_places(self, stack[1]->toInt(), index);
    if (!places || !resize(out, sizes_of(index))) return {};
    require_apart(index, out);
    return Plan{std::move(*places), type, self.const_data_ptr(), out.mutable_data_ptr()};
  }
  static void run(const Plan& plan) {
    visit(plan.type, [&](auto zero) {
      using T = decltype(zero);
      const auto* from = static_cast<const T*>(plan.from);
      auto* to = static_cast<T*>(plan.to);
      for_each_place(plan.places, [&](int64_t i, int64_t place) { to[i] = from[place]; });
    });
  }
};

/// What is written to a copy of a tensor, at the places that indices point to.
struct ScatterPlan {
  Places places;
  ScalarType type;
  const Tensor *self, *source;  // no source: the number
  const EValue* value;
  void* to;
  bool rows;  // places lie in the last dimension, and all others are as large as the indices'
};

std::optional<ScatterPlan> plan_scatter(Stack stack) {
  const auto &self = stack[0]->toTensor(), &index = stack[2]->toTensor(), &out = stack[4]->toTensor();
  const auto type = self.scalar_type();
  ScatterPlan plan = {{}, type, &self, nullptr, stack[3], nullptr, false};
  if (!is_visited(type) || !is_dense(self, type) || !is_dense(out, type)) return {};
  if (stack[3]->isTensor()) {
    plan.source = &stack[3]->toTensor();
    if (!is_dense(*plan.source, type) || sizes_of(*plan.source) != sizes_of(index)) return {};
  } else if (!keeps_type(type, *stack[3])) {
    return {};
  }
  auto places = find_places(self, stack[1]->toInt(), index);
  if (!places || !resize(out, sizes_of(self))) return {};
  require_apart(index, out);
  plan.places = std::move(*places);
  plan.to = out.mutable_data_ptr();
  plan.rows = from_front(stack[1]->toInt(), self.dim()) == self.dim() - 1;
  for (int64_t i = 0; i + 1 < self.dim(); ++i) plan.rows &= self.size(i) == index.size(i);
  return plan;
}

/// A copy of `self`, to write to.
void begin_scatter(const ScatterPlan& plan) {
  if (plan.self->nbytes() > 0) std::memcpy(plan.to, plan.self->const_data_ptr(), plan.self->nbytes());
}

/// write(element, value) for each index.
template <class Write>
void run_scatter(const ScatterPlan& plan, const Write& write) {
  begin_scatter(plan);
  visit(plan.type, [&](auto zero) {
    using T = decltype(zero);
    auto* to = static_cast<T*>(plan.to);
    if (plan.source == nullptr) {
      const T value = element<T>(*plan.value);
      for_each_place(plan.places, [&](int64_t, int64_t place) { write(to[place], value); });
    } else {
      const auto* from = static_cast<const T*>(plan.source->const_data_ptr());
      for_each_place(plan.places, [&](int64_t i, int64_t place) { write(to[place], from[i]); });
    }
  });
}

void assign(const ScatterPlan& plan) {
  run_scatter(plan, [](auto& element, auto value) { element = value; });
}

constexpr char kScatterValue[] = "aten::scatter.value_out", kScatterSource[] = "aten::scatter.src_out";

/// (self, dim, index, value or src) → out
template <const char* kOperator>
struct Scatter {
  static constexpr const char* kName = kOperator;
  static std::optional<ScatterPlan> plan(Stack stack) { return plan_scatter(stack); }
  static void run(const ScatterPlan& plan) { assign(plan); }
};

/// (self, dim, index, src) → out
struct ScatterAdd {
  static constexpr char kName[] = "aten::scatter_add.out";
  static std::optional<ScatterPlan> plan(Stack stack) {
    if (!stack[3]->isTensor()) return {};
    return plan_scatter(stack);
  }
  static void run(const ScatterPlan& plan) {
    if (plan.type == ScalarType::Float && plan.rows && plan.self->numel() > 0) {
      begin_scatter(plan);
      const int64_t row = plan.self->size(plan.self->dim() - 1), rows = plan.self->numel() / row;
      return compute::scatter_add(plan.source->const_data_ptr<float>(), plan.places.index, rows,
                                  plan.source->numel() / rows, static_cast<float*>(plan.to), row);
    }
    run_scatter(plan, [](auto& element, auto value) {
      element = static_cast<std::decay_t<decltype(element)>>(element + value);
    });
  }
};

/// Rows of a table, one per index.
struct RowsPlan {
  int64_t outer, rows, count;  // tables, rows of each, indices
  size_t bytes;                // of a row
  const int64_t* index;
  const char* from;
  char* to;
};

std::optional<RowsPlan> plan_rows(const Tensor& self, int64_t dim, const Tensor& index, const Tensor& out,
                                  const std::vector<int64_t>& sizes) {
  if (!are_dense_of_any_type(self, out) || self.scalar_type() != out.scalar_type()) return {};
  if (!is_dense(index, ScalarType::Long) || !resize(out, sizes)) return {};
  require_apart(index, out);
  RowsPlan plan = {1,
                   self.size(dim),
                   index.numel(),
                   static_cast<size_t>(self.element_size()),
                   index.const_data_ptr<int64_t>(),
                   static_cast<const char*>(self.const_data_ptr()),
                   static_cast<char*>(out.mutable_data_ptr())};
  for (int64_t i = 0; i < dim; ++i) plan.outer *= self.size(i);
  for (int64_t i = dim + 1; i < self.dim(); ++i) plan.bytes *= static_cast<size_t>(self.size(i));
  for (int64_t i = 0; i < plan.count; ++i) {
    if (plan.index[i] < 0 || plan.index[i] >= plan.rows) return {};
  }
  return plan;
}

void copy_rows(const RowsPlan& p) {
  if (p.bytes == 0) return;
  for (int64_t o = 0; o < p.outer; ++o) {
    const char* from = p.from + o * p.rows * static_cast<int64_t>(p.bytes);
    char* to = p.to + o * p.count * static_cast<int64_t>(p.bytes);
    for (int64_t i = 0; i < p.count; ++i) {
      std::memcpy(to + i * static_cast<int64_t>(p.bytes), from + p.index[i] * static_cast<int64_t>(p.bytes),
                  p.bytes);
    }
  }
}

/// (self, dim, index) → out
struct IndexSelect {
  static constexpr char kName[] = "aten::index_select.out";
  static std::optional<RowsPlan> plan(Stack stack) {
    const auto &self = stack[0]->toTensor(), &index = stack[2]->toTensor();
    const int64_t dim = from_front(stack[1]->toInt(), self.dim());
    if (dim < 0 || index.dim() > 1) return {};
    auto sizes = sizes_of(self);
    sizes[static_cast<size_t>(dim)] = index.numel();
    return plan_rows(self, dim, index, stack[3]->toTensor(), sizes);
  }
  static void run(const RowsPlan& plan) { copy_rows(plan); }
};

/// (weight, indices, padding_idx, scale_grad_by_freq, sparse) → out
struct Embedding {
  static constexpr char kName[] = "aten::embedding.out";
  static std::optional<RowsPlan> plan(Stack stack) {
    const auto &weight = stack[0]->toTensor(), &index = stack[1]->toTensor();
    if (weight.dim() != 2) return {};
    auto sizes = sizes_of(index);
    sizes.push_back(weight.size(1));
    return plan_rows(weight, 0, index, stack[5]->toTensor(), sizes);
  }
  static void run(const RowsPlan& plan) { copy_rows(plan); }
};

/// Where the extremes of rows are: the first one of several, and NaN before all.
struct ExtremePlan {
  ScalarType type;
  const void* from;
  int64_t outer, count, inner;
  int64_t* to;
  void* values;  // the extremes, or null
};

/// @param values where the extremes themselves go, or null
std::optional<ExtremePlan> plan_extreme(Stack stack, const Tensor& out, const Tensor* values) {
  const auto& self = stack[0]->toTensor();
  const auto type = self.scalar_type();
  if (!is_visited(type) || !is_dense(self, type) || !is_dense(out, ScalarType::Long)) return {};
  ExtremePlan plan = {type, self.const_data_ptr(), 1, self.numel(), 1, nullptr, nullptr};
  auto sizes = sizes_of(self);
  if (stack[1]->isNone()) {
    sizes.assign(stack[2]->toBool() ? sizes.size() : 0, 1);
  } else {
    const int64_t dim = from_front(stack[1]->toInt(), self.dim());
    if (dim < 0) return {};
    plan.count = self.size(dim);
    for (int64_t i = 0; i < dim; ++i) plan.outer *= self.size(i);
    for (int64_t i = dim + 1; i < self.dim(); ++i) plan.inner *= self.size(i);
    if (stack[2]->toBool()) {
      sizes[static_cast<size_t>(dim)] = 1;
    } else {
      sizes.erase(sizes.begin() + dim);
    }
  }
  if (plan.count == 0 || !resize(out, sizes)) return {};
  if (values != nullptr) {
    if (!is_dense(*values, type) || !resize(*values, sizes)) return {};
    plan.values = values->mutable_data_ptr();
  }
  plan.to = out.mutable_data_ptr<int64_t>();
  return plan;
}

/// In the order of memory, so that rows that lie beside each other are met together.
void find_extremes(bool max, const ExtremePlan& p) {
  visit(p.type, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t o = 0; o < p.outer; ++o) {
      const T* from = static_cast<const T*>(p.from) + o * p.count * p.inner;
      int64_t* best = p.to + o * p.inner;
      std::fill_n(best, p.inner, 0);
      for (int64_t i = 1; i < p.count; ++i) {
        for (int64_t j = 0; j < p.inner; ++j) {
          const T value = from[i * p.inner + j], leader = from[best[j] * p.inner + j];
          const bool leads = max ? value > leader : value < leader;
          if (leads || (value != value && leader == leader)) best[j] = i;
        }
      }
      for (int64_t j = 0; p.values != nullptr && j < p.inner; ++j)
        static_cast<T*>(p.values)[o * p.inner + j] = from[best[j] * p.inner + j];
    }
  });
}

constexpr char kArgmax[] = "aten::argmax.out", kArgmin[] = "aten::argmin.out";

/// (self, dim?, keepdim) → out
template <const char* kOperator, bool kMax>
struct ArgExtreme {
  static constexpr const char* kName = kOperator;
  static std::optional<ExtremePlan> plan(Stack stack) {
    return plan_extreme(stack, stack[3]->toTensor(), nullptr);
  }
  static void run(const ExtremePlan& plan) { find_extremes(kMax, plan); }
};

constexpr char kMaxAlong[] = "aten::max.dim_max", kMinAlong[] = "aten::min.dim_min";

/// (self, dim, keepdim) → (values, indices)
template <const char* kOperator, bool kMax>
struct ExtremeAlong {
  static constexpr const char* kName = kOperator;
  static std::optional<ExtremePlan> plan(Stack stack) {
    return plan_extreme(stack, stack[4]->toTensor(), &stack[3]->toTensor());
  }
  static void run(const ExtremePlan& plan) { find_extremes(kMax, plan); }
};

}  // namespace

std::vector<Kernel> indexing_kernels() {
  return kernels_of<Gather, Scatter<kScatterValue>, Scatter<kScatterSource>, ScatterAdd, IndexSelect,
                    Embedding, ArgExtreme<kArgmax, true>, ArgExtreme<kArgmin, false>,
                    ExtremeAlong<kMaxAlong, true>, ExtremeAlong<kMinAlong, false>>();
}

}  // namespace edgetrain::kernels
