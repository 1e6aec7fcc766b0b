#include "views.h"

#include <numeric>

#include "strided_copy.h"
#include "types.h"

namespace edgetrain::kernels {
namespace {

/// An operator that copies a view of its first argument to its last one, the kOutput-th.
template <class Operator, size_t kOutput>
struct CopyOf {
  static std::optional<StridedCopy> plan(Stack stack) {
    const auto &self = stack[0]->toTensor(), &out = stack[kOutput]->toTensor();
    const auto view = Operator::view(self, stack);
    if (!view) return {};
    return plan_copy(self, *view, out);
  }
  static void run(const StridedCopy& copy) { run_copy(copy); }
};

/// All elements, in order.
std::optional<View> reshaped(const Tensor& self, const std::vector<int64_t>& sizes) {
  int64_t count = 1;
  for (const int64_t size : sizes) count *= size;
  if (count != self.numel()) return {};
  return View{sizes, dense_steps(sizes)};
}

constexpr char kAlias[] = "aten::alias_copy.out", kDetach[] = "aten::detach_copy.out",
               kLiftFresh[] = "aten::lift_fresh_copy.out", kClone[] = "aten::clone.out",
               kCloneDimOrder[] = "dim_order_ops::_clone_dim_order.out";

/// (self, ..., what the memory's order shall be) → out
template <const char* kOperator, size_t kOutput>
struct Copy : CopyOf<Copy<kOperator, kOutput>, kOutput> {
  static constexpr const char* kName = kOperator;
  static std::optional<View> view(const Tensor& self, Stack) { return whole(self); }
};

/// (self, src, non_blocking), which writes to self
struct CopyInPlace {
  static constexpr char kName[] = "aten::copy_";
  static std::optional<StridedCopy> plan(Stack stack) {
    const auto &self = stack[0]->toTensor(), &source = stack[1]->toTensor();
    if (sizes_of(self) != sizes_of(source)) return {};
    return plan_copy(source, whole(source), self);
  }
  static void run(const StridedCopy& copy) { run_copy(copy); }
};

/// (self, size) → out
struct ViewCopy : CopyOf<ViewCopy, 2> {
  static constexpr char kName[] = "aten::view_copy.out";
  static std::optional<View> view(const Tensor& self, Stack stack) {
    const auto list = stack[1]->toIntList();
    std::vector<int64_t> sizes(list.begin(), list.end());
    const auto unknown = std::find(sizes.begin(), sizes.end(), -1);
    if (unknown != sizes.end()) {
      *unknown = 1;
      const int64_t known = std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>());
      if (known <= 0) return {};
      *unknown = self.numel() / known;
    }
    return reshaped(self, sizes);
  }
};

/// (self, dim) → out
struct UnsqueezeCopy : CopyOf<UnsqueezeCopy, 2> {
  static constexpr char kName[] = "aten::unsqueeze_copy.out";
  static std::optional<View> view(const Tensor& self, Stack stack) {
    const int64_t dim = from_front(stack[1]->toInt(), self.dim() + 1);
    if (dim < 0) return {};
    auto sizes = sizes_of(self);
    sizes.insert(sizes.begin() + dim, 1);
    return reshaped(self, sizes);
  }
};

/// Without those dimensions of size 1 among `dims`.
std::optional<View> squeezed(const Tensor& self, const std::vector<int64_t>& dims) {
  std::vector<bool> drop(static_cast<size_t>(self.dim()), false);
  for (const int64_t dim : dims) {
    const int64_t front = from_front(dim, self.dim());
    if (front < 0) return {};
    drop[static_cast<size_t>(front)] = self.size(front) == 1;
  }
  std::vector<int64_t> sizes;
  for (size_t i = 0; i < drop.size(); ++i) {
    if (!drop[i]) sizes.push_back(self.size(static_cast<int64_t>(i)));
  }
  return reshaped(self, sizes);
}

/// (self, dim) → out
struct SqueezeDim : CopyOf<SqueezeDim, 2> {
  static constexpr char kName[] = "aten::squeeze_copy.dim_out";
  static std::optional<View> view(const Tensor& self, Stack stack) {
    return squeezed(self, {stack[1]->toInt()});
  }
};

/// (self, dims) → out
struct SqueezeDims : CopyOf<SqueezeDims, 2> {
  static constexpr char kName[] = "aten::squeeze_copy.dims_out";
  static std::optional<View> view(const Tensor& self, Stack stack) {
    const auto dims = stack[1]->toIntList();
    return squeezed(self, {dims.begin(), dims.end()});
  }
};

/// (self, size, implicit) → out
struct ExpandCopy : CopyOf<ExpandCopy, 3> {
  static constexpr char kName[] = "aten::expand_copy.out";
  static std::optional<View> view(const Tensor& self, Stack stack) {
    const auto list = stack[1]->toIntList();
    const auto own = dense_steps(sizes_of(self));
    if (list.size() < own.size()) return {};
    View view = {{list.begin(), list.end()}, std::vector<int64_t>(list.size(), 0)};
    const size_t added = list.size() - own.size();
    for (size_t i = 0; i < list.size(); ++i) {
      const int64_t size = i < added ? 1 : self.size(static_cast<int64_t>(i - added));
      if (view.sizes[i] == -1 && i >= added) view.sizes[i] = size;
      if (view.sizes[i] < 0 || (size != 1 && size != view.sizes[i])) return {};
      if (size != 1) view.steps[i] = own[i - added];
    }
    return view;
  }
};

/// The dimensions in another order.
std::optional<View> permuted(const Tensor& self, const std::vector<int64_t>& order) {
  if (static_cast<int64_t>(order.size()) != self.dim()) return {};
  const View all = whole(self);
  View view;
  std::vector<bool> seen(order.size());
  for (const int64_t dim : order) {
    const int64_t front = from_front(dim, self.dim());
    if (front < 0 || seen[static_cast<size_t>(front)]) return {};
    seen[static_cast<size_t>(front)] = true;
    view.sizes.push_back(all.sizes[static_cast<size_t>(front)]);
    view.steps.push_back(all.steps[static_cast<size_t>(front)]);
  }
  return view;
}

/// (self, dims) → out
struct PermuteCopy : CopyOf<PermuteCopy, 2> {
  static constexpr char kName[] = "aten::permute_copy.out";
  static std::optional<View> view(const Tensor& self, Stack stack) {
    const auto dims = stack[1]->toIntList();
    return permuted(self, {dims.begin(), dims.end()});
  }
};

std::optional<View> swapped(const Tensor& self, int64_t a, int64_t b) {
  a = from_front(a, self.dim()), b = from_front(b, self.dim());
  if (a < 0 || b < 0) return {};
  std::vector<int64_t> order(static_cast<size_t>(self.dim()));
  std::iota(order.begin(), order.end(), 0);
  std::swap(order[static_cast<size_t>(a)], order[static_cast<size_t>(b)]);
  return permuted(self, order);
}

/// (self, dim0, dim1) → out
struct TransposeCopy : CopyOf<TransposeCopy, 3> {
  static constexpr char kName[] = "aten::transpose_copy.int_out";
  static std::optional<View> view(const Tensor& self, Stack stack) {
    return swapped(self, stack[1]->toInt(), stack[2]->toInt());
  }
};

/// (self) → out
struct TCopy : CopyOf<TCopy, 1> {
  static constexpr char kName[] = "aten::t_copy.out";
  static std::optional<View> view(const Tensor& self, Stack) {
    if (self.dim() > 2) return {};
    return self.dim() < 2 ? whole(self) : swapped(self, 0, 1);
  }
};

/// (self, dim, index) → out
struct SelectCopy : CopyOf<SelectCopy, 3> {
  static constexpr char kName[] = "aten::select_copy.int_out";
  static std::optional<View> view(const Tensor& self, Stack stack) {
    return selected(self, *stack[1], *stack[2]);
  }
};

/// (self, dim, start?, end?, step) → out
struct SliceCopy : CopyOf<SliceCopy, 5> {
  static constexpr char kName[] = "aten::slice_copy.Tensor_out";
  static std::optional<View> view(const Tensor& self, Stack stack) {
    return sliced(self, *stack[1], *stack[2], *stack[3], *stack[4]);
  }
};

/// (self, dims) → out
struct Flip : CopyOf<Flip, 2> {
  static constexpr char kName[] = "aten::flip.out";
  static std::optional<View> view(const Tensor& self, Stack stack) {
    View view = whole(self);
    std::vector<bool> flipped(view.sizes.size());
    for (const int64_t dim : stack[1]->toIntList()) {
      const int64_t front = from_front(dim, self.dim());
      if (front < 0 || flipped[static_cast<size_t>(front)]) return {};
      flipped[static_cast<size_t>(front)] = true;
    }
    for (size_t d = 0; d < flipped.size(); ++d) {
      if (!flipped[d]) continue;
      view.offset += (view.sizes[d] - 1) * view.steps[d];
      view.steps[d] = -view.steps[d];
    }
    return self.numel() == 0 ? whole(self) : view;
  }
};

/// (self, repeats) → out, as a copy to [repeats, size] for each dimension
struct Repeat {
  static constexpr char kName[] = "aten::repeat.out";
  static std::optional<StridedCopy> plan(Stack stack) {
    const auto &self = stack[0]->toTensor(), &out = stack[2]->toTensor();
    const auto repeats = stack[1]->toIntList();
    const View all = whole(self);
    if (repeats.size() < all.sizes.size()) return {};
    const size_t added = repeats.size() - all.sizes.size();
    View view;
    std::vector<int64_t> sizes;
    for (size_t d = 0; d < repeats.size(); ++d) {
      const int64_t size = d < added ? 1 : all.sizes[d - added];
      if (repeats[d] < 0) return {};
      view.sizes.insert(view.sizes.end(), {repeats[d], size});
      view.steps.insert(view.steps.end(), {0, d < added ? 0 : all.steps[d - added]});
      sizes.push_back(repeats[d] * size);
    }
    return plan_copy(self, view, out, sizes);
  }
  static void run(const StridedCopy& copy) { run_copy(copy); }
};

}  // namespace

std::vector<Kernel> view_kernels() {
  return kernels_of<Copy<kAlias, 1>, Copy<kDetach, 1>, Copy<kLiftFresh, 1>, Copy<kClone, 2>,
                    Copy<kCloneDimOrder, 3>, CopyInPlace, ViewCopy, UnsqueezeCopy, SqueezeDim, SqueezeDims,
                    ExpandCopy, PermuteCopy, TransposeCopy, TCopy, SelectCopy, SliceCopy, Flip, Repeat>();
}

}  // namespace edgetrain::kernels
