#include "loops.h"

namespace edgetrain::kernels {

std::vector<int64_t> dense_steps(const std::vector<int64_t>& sizes) {
  std::vector<int64_t> steps(sizes.size());
  int64_t step = 1;
  for (size_t i = sizes.size(); i-- > 0; step *= sizes[i]) steps[i] = step;
  return steps;
}

std::optional<std::vector<int64_t>> broadcast_sizes_of(std::initializer_list<const Tensor*> tensors) {
  size_t dims = 0;
  for (const Tensor* tensor : tensors) dims = std::max(dims, tensor->sizes().size());
  std::vector<int64_t> sizes(dims, 1);
  for (const Tensor* tensor : tensors) {
    const auto own = tensor->sizes();
    for (size_t i = 0; i < own.size(); ++i) {
      int64_t& size = sizes[dims - own.size() + i];
      if (own[i] != 1 && size != 1 && own[i] != size) return {};
      if (own[i] != 1) size = own[i];
    }
  }
  return sizes;
}

std::vector<int64_t> broadcast_steps(const std::vector<int64_t>& sizes, const Tensor& tensor) {
  auto steps = dense_steps(sizes_of(tensor));
  for (size_t i = 0; i < steps.size(); ++i) {
    if (tensor.size(static_cast<int64_t>(i)) == 1) steps[i] = 0;
  }
  steps.insert(steps.begin(), sizes.size() - steps.size(), 0);
  return steps;
}

}  // namespace edgetrain::kernels
