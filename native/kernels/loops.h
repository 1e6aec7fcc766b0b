// Loops over the elements of several operands at once, with as few loops as possible.
#pragma once

#include <algorithm>
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

/// f(offsets) for each run of the innermost loop.
template <int kOperands, class Function>
void for_each_row(const Loops<kOperands>& loops, const Function& f) {
  int64_t rows = 1;
  for (size_t d = 0; d + 1 < loops.size(); ++d) rows *= loops[d].size;
  std::vector<int64_t> at(loops.size());
  int64_t offsets[kOperands] = {};
  for (int64_t row = 0; row < rows; ++row) {
    f(offsets);
    for (size_t d = loops.size() - 1; d-- > 0;) {
      const Loop<kOperands>& loop = loops[d];
      const bool wraps = ++at[d] == loop.size;
      const int64_t steps = wraps ? 1 - loop.size : 1;
      for (int k = 0; k < kOperands; ++k) offsets[k] += steps * loop.step[k];
      if (!wraps) break;
      at[d] = 0;
    }
  }
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
inline std::vector<int64_t> dense_steps(const std::vector<int64_t>& sizes) {
  std::vector<int64_t> steps(sizes.size());
  int64_t step = 1;
  for (size_t i = sizes.size(); i-- > 0; step *= sizes[i]) steps[i] = step;
  return steps;
}

/// What tensors broadcast to, if they do.
template <class... Tensors>
std::optional<std::vector<int64_t>> broadcast_sizes(const Tensors&... tensors) {
  std::vector<int64_t> sizes(static_cast<size_t>(std::max({int64_t{0}, int64_t{tensors.dim()}...})), 1);
  bool fits = true;
  const auto include = [&](const Tensor& tensor) {
    const size_t missing = sizes.size() - static_cast<size_t>(tensor.dim());
    for (size_t i = missing; i < sizes.size(); ++i) {
      const int64_t size = tensor.size(static_cast<int64_t>(i - missing));
      fits &= size == 1 || sizes[i] == 1 || size == sizes[i];
      if (size != 1) sizes[i] = size;
    }
  };
  (include(tensors), ...);
  if (!fits) return {};
  return sizes;
}

/// Loops over a result of those sizes, the first operand, and tensors that are broadcast to it.
template <class... Tensors>
Loops<1 + static_cast<int>(sizeof...(Tensors))> broadcast_loops(const std::vector<int64_t>& sizes,
                                                                const Tensors&... tensors) {
  constexpr int kOperands = 1 + static_cast<int>(sizeof...(Tensors));
  Loops<kOperands> loops(sizes.size());
  const auto steps = dense_steps(sizes);
  for (size_t i = 0; i < sizes.size(); ++i) {
    loops[i].size = sizes[i];
    loops[i].step[0] = steps[i];
  }
  int operand = 1;
  const auto include = [&](const Tensor& tensor) {
    const auto own = dense_steps(sizes_of(tensor));
    const size_t missing = sizes.size() - own.size();
    for (size_t i = 0; i < sizes.size(); ++i) {
      const bool there = i >= missing && tensor.size(static_cast<int64_t>(i - missing)) != 1;
      loops[i].step[operand] = there ? own[i - missing] : 0;
    }
    ++operand;
  };
  (include(tensors), ...);
  return merge(loops);
}

}  // namespace edgetrain::kernels
