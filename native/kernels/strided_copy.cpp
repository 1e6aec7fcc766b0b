#include "strided_copy.h"

#include <cstring>

#include "compute.h"
#include "types.h"

namespace edgetrain::kernels {
namespace {

template <class Element>
void copy_elements(const StridedCopy& copy) {
  const auto* from = reinterpret_cast<const Element*>(copy.from);
  auto* to = reinterpret_cast<Element*>(copy.to);
  if (copy.loops.back().step[0] != 1 || copy.loops.back().step[1] != 1) {
    return map(copy.loops, [](Element value) { return value; }, to, from);
  }
  const auto bytes = static_cast<size_t>(copy.loops.back().size) * sizeof(Element);
  for_each_row(copy.loops, [&](const auto& at) {
    if (bytes > 0) std::memcpy(to + at[0], from + at[1], bytes);
  });
}

/// Where the input's innermost loop is another than the result's, the two make matrices to transpose.
bool transpose_elements(const StridedCopy& copy) {
  Loops<2> outer = copy.loops;
  const Loop<2> row = outer.back();
  const auto column =
      std::find_if(outer.begin(), outer.end() - 1, [](const auto& l) { return l.step[1] == 1; });
  if (row.step[0] != 1 || row.step[1] <= 1 || column == outer.end() - 1) return false;
  const Loop<2> columns = *column;
  outer.erase(column);
  const auto* from = reinterpret_cast<const float*>(copy.from);
  auto* to = reinterpret_cast<float*>(copy.to);
  for_each_row(outer, [&](const auto& at) {
    compute::transpose_matrix(from + at[1], row.step[1], to + at[0], columns.step[0], row.size, columns.size);
  });
  return true;
}

}  // namespace

View whole(const Tensor& self) { return {sizes_of(self), dense_steps(sizes_of(self))}; }

std::optional<View> selected(const Tensor& self, const EValue& along, const EValue& index) {
  const int64_t dim = from_front(along.toInt(), self.dim());
  if (dim < 0) return {};
  const int64_t place = from_front(index.toInt(), self.size(dim));
  if (place < 0) return {};
  View view = whole(self);
  view.offset = place * view.steps[static_cast<size_t>(dim)];
  view.sizes.erase(view.sizes.begin() + dim);
  view.steps.erase(view.steps.begin() + dim);
  return view;
}

std::optional<View> sliced(const Tensor& self, const EValue& along, const EValue& start, const EValue& end,
                           const EValue& step) {
  const int64_t dim = from_front(along.toInt(), self.dim());
  if (dim < 0 || step.toInt() < 1) return {};
  const int64_t size = self.size(dim);
  const auto place = [size](const EValue& value, int64_t missing) {
    const int64_t given = value.isNone() ? missing : value.toInt();
    return std::clamp(given < 0 ? given + size : given, int64_t{0}, size);
  };
  const int64_t first = place(start, 0), last = std::max(first, place(end, size));
  View view = whole(self);
  const auto d = static_cast<size_t>(dim);
  view.offset = first * view.steps[d];
  view.sizes[d] = first == last ? 0 : (last - first - 1) / step.toInt() + 1;
  view.steps[d] *= step.toInt();
  return view;
}

std::optional<StridedCopy> plan_copy(const Tensor& self, const View& view, const Tensor& out,
                                     const std::vector<int64_t>& shape) {
  if (!are_dense_of_any_type(self, out) || self.scalar_type() != out.scalar_type()) return {};
  const auto element = static_cast<size_t>(self.element_size());
  if ((element != 1 && element != 4 && element != 8) || !resize(out, shape)) return {};
  const auto steps = dense_steps(view.sizes);
  Loops<2> loops;
  for (size_t i = 0; i < steps.size(); ++i) loops.push_back({view.sizes[i], {steps[i], view.steps[i]}});
  const auto* from = static_cast<const char*>(self.const_data_ptr());
  return StridedCopy{merge(loops), from + view.offset * static_cast<int64_t>(element),
                     static_cast<char*>(out.mutable_data_ptr()), element};
}

void run_copy(const StridedCopy& copy) {
  const bool empty =
      std::any_of(copy.loops.begin(), copy.loops.end(), [](const auto& l) { return l.size == 0; });
  if (empty) return;
  switch (copy.element) {
    case 1:
      return copy_elements<uint8_t>(copy);
    case 4:
      if (!transpose_elements(copy)) copy_elements<uint32_t>(copy);
      return;
    default:
      return copy_elements<uint64_t>(copy);
  }
}

}  // namespace edgetrain::kernels
