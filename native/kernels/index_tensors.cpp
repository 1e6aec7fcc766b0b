#include "index_tensors.h"

#include <cstring>

#include "blocking.h"
#include "loops.h"
#include "parallel.h"
#include "scratch.h"
#include "types.h"

namespace edgetrain::kernels {
namespace {

/// A tensor [outer, size, inner] whose middle is one or two dimensions that are indexed, and rows of it.
struct Places {
  int64_t outer, size, inner, count;
  const int64_t* rows;         // [count], each below `size`
  std::vector<int64_t> sizes;  // of what lies there: [outer ..., of the indices ..., inner ...]
};

/// Where one or two index tensors, broadcast to each other, point. None for masks, for dimensions that are no
/// neighbours, and where an index is outside: the stock kernel says what is wrong with it.
std::optional<Places> find_places(const Tensor& self, const EValue& list) {
  const auto given = list.toListOptionalTensor();
  std::vector<const Tensor*> indices;
  int64_t first = 0, end = 0;
  for (size_t i = 0; i < given.size(); ++i) {
    if (!given[i].has_value()) continue;
    const auto dim = static_cast<int64_t>(i);
    if (indices.empty()) first = end = dim;
    if (dim != end++ || !is_dense(*given[i], ScalarType::Long)) return {};
    indices.push_back(&*given[i]);
  }
  if (indices.empty() || indices.size() > 2 || end > self.dim()) return {};
  const Tensor &a = *indices.front(), &b = *indices.back();
  const auto shape = broadcast_sizes(a, b);
  if (!shape) return {};
  Places p = {1, 1, 1, 1, nullptr, {}};
  for (int64_t i = 0; i < self.dim(); ++i) {
    (i < first ? p.outer : i < end ? p.size : p.inner) *= self.size(i);
    if (i == first) p.sizes.insert(p.sizes.end(), shape->begin(), shape->end());
    if (i < first || i >= end) p.sizes.push_back(self.size(i));
  }
  for (const int64_t size : *shape) p.count *= size;
  auto* rows =
      static_cast<int64_t*>(scratch(Scratch::kOffsets, static_cast<size_t>(p.count) * sizeof(int64_t)));
  const bool two = indices.size() == 2;
  const int64_t size_a = self.size(first), size_b = two ? self.size(first + 1) : 1;
  bool inside = true;
  const auto place = [&inside](int64_t index, int64_t size) {
    const int64_t front = index < 0 ? index + size : index;
    inside &= front >= 0 && front < size;
    return front;
  };
  map(
      broadcast_loops(*shape, a, b),
      [&](int64_t x, int64_t y) { return place(x, size_a) * size_b + (two ? place(y, size_b) : 0); }, rows,
      a.const_data_ptr<int64_t>(), b.const_data_ptr<int64_t>());
  if (!inside) return {};
  p.rows = rows;
  return p;
}

/// f(where a row is in the indexed tensor, and where in what lies there) for all places, in their order.
template <class Function>
void for_each_place(const Places& p, const Function& f) {
  const auto part = [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; ++o) {
      for (int64_t i = 0; i < p.count; ++i)
        f((o * p.size + p.rows[i]) * p.inner, (o * p.count + i) * p.inner);
    }
  };
  const auto task = [](const void* context, int64_t begin, int64_t end) {
    (*static_cast<decltype(&part)>(context))(begin, end);
  };
  run_parallel(p.outer, task, &part, p.outer * p.count * p.inner >= kWorthThreads);
}

/// (self, indices) → out
struct Index {
  struct Plan {
    Places places;
    ssize_t element;  // bytes of one
    const void* from;
    void* to;
  };
  static constexpr char kName[] = "aten::index.Tensor_out";
  static std::optional<Plan> plan(Stack stack) {
    const auto &self = stack[0]->toTensor(), &out = stack[2]->toTensor();
    const auto type = self.scalar_type();
    if (!is_visited(type) || !is_dense(self, type) || !is_dense(out, type)) return {};
    auto places = find_places(self, *stack[1]);
    if (!places || !resize(out, places->sizes)) return {};
    return Plan{std::move(*places), self.element_size(), self.const_data_ptr(), out.mutable_data_ptr()};
  }
  static void run(const Plan& plan) {
    visit_bytes(plan.element, [&](auto zero) {
      using T = decltype(zero);
      const auto* from = static_cast<const T*>(plan.from);
      auto* to = static_cast<T*>(plan.to);
      const auto inner = static_cast<size_t>(plan.places.inner);
      for_each_place(plan.places, [=](int64_t place, int64_t at) {
        if (inner == 1) {
          to[at] = from[place];
        } else {
          std::memcpy(to + at, from + place, inner * sizeof(T));
        }
      });
    });
  }
};

/// (self, indices, values, accumulate) → out. Values have the shape of what lies at the places, or are one.
struct IndexPut {
  struct Plan {
    Places places;
    ScalarType type;
    bool accumulate;
    int64_t step;  // of the values
    const void *self, *values;
    void* to;
    size_t bytes;  // of self
  };
  static constexpr char kName[] = "aten::index_put.out";
  static std::optional<Plan> plan(Stack stack) {
    const auto &self = stack[0]->toTensor(), &values = stack[2]->toTensor(), &out = stack[4]->toTensor();
    const auto type = self.scalar_type();
    const bool accumulate = stack[3]->toBool();
    if (!is_visited(type) || !is_dense(self, type) || !is_dense(values, type) || !is_dense(out, type))
      return {};
    if (accumulate && type != ScalarType::Float && type != ScalarType::Long) return {};
    auto places = find_places(self, *stack[1]);
    if (!places || (values.numel() != 1 && sizes_of(values) != places->sizes)) return {};
    if (!resize(out, sizes_of(self))) return {};
    return Plan{std::move(*places),
                type,
                accumulate,
                values.numel() == 1 ? 0 : 1,
                self.const_data_ptr(),
                values.const_data_ptr(),
                out.mutable_data_ptr(),
                self.nbytes()};
  }
  static void run(const Plan& plan) {
    if (plan.bytes > 0 && plan.to != plan.self) std::memcpy(plan.to, plan.self, plan.bytes);
    if (!plan.accumulate) {
      visit_bytes(executorch::runtime::elementSize(plan.type),
                  [&](auto zero) { write(zero, plan, [](auto& element, auto value) { element = value; }); });
      return;
    }
    const auto add = [](auto& element, auto value) { element += value; };
    plan.type == ScalarType::Float ? write(float(), plan, add) : write(int64_t(), plan, add);
  }

 private:
  /// put(element, value) for each.
  template <class T, class Put>
  static void write(T, const Plan& plan, const Put& put) {
    const auto* values = static_cast<const T*>(plan.values);
    auto* to = static_cast<T*>(plan.to);
    const int64_t inner = plan.places.inner, step = plan.step;
    for_each_place(plan.places, [=](int64_t place, int64_t at) {
      for (int64_t j = 0; j < inner; ++j) put(to[place + j], values[(at + j) * step]);
    });
  }
};

}  // namespace

std::vector<Kernel> index_tensor_kernels() { return kernels_of<Index, IndexPut>(); }

}  // namespace edgetrain::kernels
