#include "part_writes.h"

#include <cstring>

#include "strided_copy.h"
#include "types.h"

namespace edgetrain::kernels {
namespace {

/// A tensor, or a number everywhere, and what is then written to a part of it.
struct PartWrite {
  const Tensor* under;  // null: the number
  const EValue* number;
  ScalarType type;
  size_t count;  // elements of all
  char* to;
  StridedCopy part;
};

void run_part_write(const PartWrite& p) {
  if (p.under == nullptr) {
    visit(p.type, [&](auto zero) {
      using T = decltype(zero);
      std::fill_n(reinterpret_cast<T*>(p.to), p.count, element<T>(*p.number));
    });
  } else if (p.count > 0 && p.under->const_data_ptr() != p.to) {
    std::memcpy(p.to, p.under->const_data_ptr(), p.under->nbytes());
  }
  run_copy(p.part);
}

/// @param place a part of the result: its sizes, and how its elements lie
/// @param from where each of them comes from
std::optional<PartWrite> plan_part_write(const Tensor& source, const View& from, const View& place,
                                         const std::vector<int64_t>& sizes, const Tensor& out) {
  const auto type = out.scalar_type();
  if (!is_visited(type) || !is_dense(source, type) || !is_dense(out, type) || !resize(out, sizes)) return {};
  Loops<2> loops;
  for (size_t d = 0; d < place.sizes.size(); ++d)
    loops.push_back({place.sizes[d], {place.steps[d], from.steps[d]}});
  const auto bytes = static_cast<size_t>(out.element_size());
  const auto at = [bytes](int64_t offset) { return offset * static_cast<int64_t>(bytes); };
  auto* to = static_cast<char*>(out.mutable_data_ptr());
  const auto* data = static_cast<const char*>(source.const_data_ptr());
  const StridedCopy part = {merge(loops), data + at(from.offset), to + at(place.offset), bytes};
  return PartWrite{nullptr, nullptr, type, static_cast<size_t>(out.numel()), to, part};
}

/// The source's elements in order, to a part of a copy of self.
std::optional<PartWrite> plan_scatter(const Tensor& self, const Tensor& source, const View& place,
                                      const Tensor& out) {
  if (sizes_of(source) != place.sizes || !is_dense(self, out.scalar_type())) return {};
  auto plan = plan_part_write(source, whole(source), place, sizes_of(self), out);
  if (plan) plan->under = &self;
  return plan;
}

/// (self, src, dim, start?, end?, step) → out
struct SliceScatter {
  static constexpr char kName[] = "aten::slice_scatter.out";
  static std::optional<PartWrite> plan(Stack stack) {
    const auto &self = stack[0]->toTensor(), &source = stack[1]->toTensor();
    const auto place = sliced(self, *stack[2], *stack[3], *stack[4], *stack[5]);
    if (!place) return {};
    return plan_scatter(self, source, *place, stack[6]->toTensor());
  }
  static void run(const PartWrite& plan) { run_part_write(plan); }
};

/// (self, src, dim, index) → out
struct SelectScatter {
  static constexpr char kName[] = "aten::select_scatter.out";
  static std::optional<PartWrite> plan(Stack stack) {
    const auto &self = stack[0]->toTensor(), &source = stack[1]->toTensor();
    const auto place = selected(self, *stack[2], *stack[3]);
    if (!place) return {};
    return plan_scatter(self, source, *place, stack[4]->toTensor());
  }
  static void run(const PartWrite& plan) { run_part_write(plan); }
};

/// Sizes with more are no tensor's, and their sums could wrap around.
constexpr int64_t kMostPadding = int64_t{1} << 40;

/// (self, pad, value) → out: before and after each dimension, the last one first; a negative one cuts.
struct ConstantPad {
  static constexpr char kName[] = "aten::constant_pad_nd.out";
  static std::optional<PartWrite> plan(Stack stack) {
    const auto &self = stack[0]->toTensor(), &out = stack[3]->toTensor();
    const auto pad = stack[1]->toIntList();
    View from = whole(self), place = from;
    if (pad.size() % 2 != 0 || pad.size() > 2 * from.sizes.size()) return {};
    if (!is_visited(self.scalar_type()) || !keeps_type(self.scalar_type(), *stack[2])) return {};
    auto sizes = from.sizes;
    for (size_t i = 0; i < pad.size() / 2; ++i) {
      const size_t d = sizes.size() - 1 - i;
      const int64_t before = pad[2 * i], after = pad[2 * i + 1];
      if (std::min(before, after) < -kMostPadding || std::max(before, after) > kMostPadding) return {};
      sizes[d] += before + after;
      place.sizes[d] += std::min(before, int64_t{0}) + std::min(after, int64_t{0});
      if (sizes[d] < 0 || place.sizes[d] < 0) return {};
      from.offset += std::max(-before, int64_t{0}) * from.steps[d];
    }
    place.steps = dense_steps(sizes);
    for (size_t i = 0; i < pad.size() / 2; ++i) {
      const size_t d = sizes.size() - 1 - i;
      place.offset += std::max(pad[2 * i], int64_t{0}) * place.steps[d];
    }
    auto plan = plan_part_write(self, from, place, sizes, out);
    if (plan) plan->number = stack[2];
    return plan;
  }
  static void run(const PartWrite& plan) { run_part_write(plan); }
};

/// (self, src, non_blocking) → out: src, as large as self
struct Copy {
  static constexpr char kName[] = "aten::copy.out";
  static std::optional<StridedCopy> plan(Stack stack) {
    const auto &self = stack[0]->toTensor(), &source = stack[1]->toTensor();
    const auto sizes = broadcast_sizes(self, source);
    if (!sizes || *sizes != sizes_of(self)) return {};
    return plan_copy(source, View{*sizes, broadcast_steps(*sizes, source)}, stack[3]->toTensor());
  }
  static void run(const StridedCopy& copy) { run_copy(copy); }
};

}  // namespace

std::vector<Kernel> part_write_kernels() {
  return kernels_of<SliceScatter, SelectScatter, ConstantPad, Copy>();
}

}  // namespace edgetrain::kernels
