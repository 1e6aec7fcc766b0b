// Loops over the elements of several operands at once, with as few loops as possible.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <optional>
#include <utility>
#include <vector>

#include "boxed.h"
#include "compute.h"

namespace edgetrain::kernels {

/// Outermost first. There is always an innermost one.
template <int kOperands>
using Loops = std::vector<Loop<kOperands>>;

/// The same loops with neighbours made one where all operands allow it.
template <int kOperands>
Loops<kOperands> merge(const Loops<kOperands>& all) {
  Loops<kOperands> merged;
  for (const auto& next : all) {
    if (next.size == 1) continue;
    bool continues = !merged.empty();
    for (int k = 0; continues && k < kOperands; ++k)
      continues = merged.back().step[k] == next.step[k] * next.size;
    const int64_t repeats = continues ? merged.back().size : 1;
    if (continues) merged.pop_back();
    merged.push_back(next);
    merged.back().size *= repeats;
  }
  if (merged.empty()) merged.push_back({1, {}});
  return merged;
}

/// The runs of the innermost loop, one after another.
template <int kOperands>
class Rows {
 public:
  explicit Rows(const Loops<kOperands>& loops) : loops_(loops), at_(loops.size()) {
    for (size_t d = 0; d + 1 < loops.size(); ++d) left_ *= loops[d].size;
  }
  bool any() const { return left_ > 0; }
  /// Where each operand's run begins.
  const int64_t* offsets() const { return offsets_; }
  __attribute__((noinline)) void next() {
    --left_;
    for (size_t d = loops_.size() - 1; d-- > 0;) {
      const Loop<kOperands>& loop = loops_[d];
      const bool wraps = ++at_[d] == loop.size;
      const int64_t steps = wraps ? 1 - loop.size : 1;
      for (int k = 0; k < kOperands; ++k) offsets_[k] += steps * loop.step[k];
      if (!wraps) break;
      at_[d] = 0;
    }
  }

 private:
  const Loops<kOperands>& loops_;
  std::vector<int64_t> at_;
  int64_t left_ = 1, offsets_[kOperands] = {};
};

/// f(offsets) for each run of the innermost loop.
template <int kOperands, class Function>
void for_each_row(const Loops<kOperands>& loops, const Function& f) {
  for (Rows<kOperands> rows(loops); rows.any(); rows.next()) f(rows.offsets());
}

/// to = f(from...) for all elements; the first operand is `to`.
template <class To, class... From, class Function, size_t... kFrom>
void map(const Loops<1 + static_cast<int>(sizeof...(From))>& loops, const Function& f,
         std::index_sequence<kFrom...>, To* to, const From*... from) {
  const auto& inner = loops.back();
  for_each_row(loops, [&](const auto& offsets) {
    for (int64_t i = 0; i < inner.size; ++i) {
      to[offsets[0] + i * inner.step[0]] = f(from[offsets[kFrom + 1] + i * inner.step[kFrom + 1]]...);
    }
  });
}
template <class To, class... From, class Function>
void map(const Loops<1 + static_cast<int>(sizeof...(From))>& loops, const Function& f, To* to,
         const From*... from) {
  map(loops, f, std::index_sequence_for<From...>(), to, from...);
}

/// How far apart neighbours lie in a tensor of those sizes whose elements lie in order.
std::vector<int64_t> dense_steps(const std::vector<int64_t>& sizes);

/// What tensors broadcast to, if they do.
std::optional<std::vector<int64_t>> broadcast_sizes_of(std::initializer_list<const Tensor*> tensors);
template <class... Tensors>
std::optional<std::vector<int64_t>> broadcast_sizes(const Tensors&... tensors) {
  return broadcast_sizes_of({&tensors...});
}

/// How far apart neighbours lie in a tensor that is broadcast to those sizes.
std::vector<int64_t> broadcast_steps(const std::vector<int64_t>& sizes, const Tensor& tensor);

/// Loops over a result of those sizes, the first operand, and tensors that are broadcast to it.
template <class... Tensors>
Loops<1 + static_cast<int>(sizeof...(Tensors))> broadcast_loops(const std::vector<int64_t>& sizes,
                                                                const Tensors&... tensors) {
  Loops<1 + static_cast<int>(sizeof...(Tensors))> loops(sizes.size());
  for (size_t i = 0; i < sizes.size(); ++i) loops[i].size = sizes[i];
  int operand = 0;
  for (const auto& steps : {dense_steps(sizes), broadcast_steps(sizes, tensors)...}) {
    for (size_t i = 0; i < sizes.size(); ++i) loops[i].step[operand] = steps[i];
    ++operand;
  }
  return merge(loops);
}

}  // namespace edgetrain::kernels
