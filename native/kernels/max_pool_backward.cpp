#include "max_pool_backward.h"

#include <algorithm>

namespace edgetrain::kernels {
namespace {

void run(KernelRuntimeContext& context, Stack stack) {
  Call call(context, kMaxPoolBackward);
  call.begin();
  const auto& grad_output = stack[0]->toTensor();
  const auto& self = stack[1]->toTensor();
  const auto& indices = stack[7]->toTensor();
  const auto grad_input = stack[8]->toTensor();
  const bool supported = grad_output.scalar_type() == ScalarType::Float &&
                         grad_input.scalar_type() == ScalarType::Float &&
                         indices.scalar_type() == ScalarType::Long && self.dim() >= 3 &&
                         grad_output.dim() == self.dim() && indices.numel() == grad_output.numel();
  if (!supported || executorch::runtime::resize_tensor(grad_input, self.sizes()) != Error::Ok) {
    return context.fail(Error::InvalidArgument);
  }
  const auto plane = [](const Tensor& t) {
    return static_cast<size_t>(t.size(t.dim() - 1)) * static_cast<size_t>(t.size(t.dim() - 2));
  };
  const size_t in_plane = plane(self), out_plane = plane(grad_output);
  if (in_plane == 0 || out_plane == 0) return;
  const size_t planes = static_cast<size_t>(grad_output.numel()) / out_plane;
  if (planes * in_plane != static_cast<size_t>(grad_input.numel())) {
    return context.fail(Error::InvalidArgument);
  }
  const float* from = grad_output.const_data_ptr<float>();
  const int64_t* index = indices.const_data_ptr<int64_t>();
  float* to = grad_input.mutable_data_ptr<float>();
  std::fill_n(to, planes * in_plane, 0.0F);
  for (size_t p = 0; p < planes; ++p, from += out_plane, index += out_plane, to += in_plane) {
    for (size_t i = 0; i < out_plane; ++i) {
      // Windows may overlap: several outputs can share their largest input.
      if (index[i] < 0 || static_cast<size_t>(index[i]) >= in_plane) {
        return context.fail(Error::InvalidArgument);
      }
      to[index[i]] += from[i];
    }
  }
}

}  // namespace

std::vector<Kernel> max_pool_backward_kernels() {
  if constexpr (is_chosen(kMaxPoolBackward)) return {Kernel(kMaxPoolBackward, run)};
  return {};
}

}  // namespace edgetrain::kernels
