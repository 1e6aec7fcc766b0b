#pragma once

#include "loops.h"

namespace edgetrain::kernels {

/// Elements of a tensor, as a result has them: its sizes, how far apart neighbours lie in the tensor, and
/// where the first one does.
struct View {
  std::vector<int64_t> sizes, steps;
  int64_t offset = 0;
};

/// All of a tensor.
View whole(const Tensor& self);
/// One place along a dimension; none where there is no such place.
std::optional<View> selected(const Tensor& self, const EValue& along, const EValue& index);
/// Places along a dimension, `step` apart. Without a start from the first, without an end to the last.
std::optional<View> sliced(const Tensor& self, const EValue& along, const EValue& start, const EValue& end,
                           const EValue& step);

/// Copies elements; the operands of the loops are `to` and `from`.
struct StridedCopy {
  Loops<2> loops;
  const char* from;
  char* to;
  size_t element;  // bytes of one
};

/// The copy of a view to an output of the same type, which gets the view's shape, or another of as many
/// elements.
std::optional<StridedCopy> plan_copy(const Tensor& self, const View& view, const Tensor& out,
                                     const std::vector<int64_t>& shape);
inline std::optional<StridedCopy> plan_copy(const Tensor& self, const View& view, const Tensor& out) {
  return plan_copy(self, view, out, view.sizes);
}
void run_copy(const StridedCopy& copy);

}  // namespace edgetrain::kernels
