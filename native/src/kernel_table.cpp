#include "edgetrain/kernel_table.h"

#include <executorch/runtime/core/exec_aten/util/tensor_util.h>
#include <executorch/runtime/kernel/kernel_runtime_context.h>

#include <algorithm>
#include <cstring>

#include "../kernels/convolution.h"
#include "../kernels/creation.h"
#include "../kernels/elementwise.h"
#include "../kernels/indexing.h"
#include "../kernels/joining.h"
#include "../kernels/logical.h"
#include "../kernels/matmul.h"
#include "../kernels/normalization.h"
#include "../kernels/pooling.h"
#include "../kernels/reduction.h"
#include "../kernels/softmax.h"
#include "../kernels/unary.h"
#include "../kernels/views.h"

namespace edgetrain {
namespace {

using executorch::ET_RUNTIME_NAMESPACE::Kernel;
using executorch::ET_RUNTIME_NAMESPACE::KernelRuntimeContext;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::Span;

/// (grad_output, self, kernel_size, stride, padding, dilation, ceil_mode, indices) → grad_input
void max_pool_backward_kernel(KernelRuntimeContext& context, Span<EValue*> stack) {
  using executorch::aten::ScalarType;
  const KernelScope scope(context.internal_event_tracer(),
                          "edgetrain_call_max_pool2d_with_indices_backward.grad_input");
  const auto& grad_output = stack[0]->toTensor();
  const auto& self = stack[1]->toTensor();
  const auto& indices = stack[7]->toTensor();
  auto grad_input = stack[8]->toTensor();
  const bool supported = grad_output.scalar_type() == ScalarType::Float &&
                         grad_input.scalar_type() == ScalarType::Float &&
                         indices.scalar_type() == ScalarType::Long && self.dim() >= 3 &&
                         grad_output.dim() == self.dim() && indices.numel() == grad_output.numel();
  if (!supported || executorch::runtime::resize_tensor(grad_input, self.sizes()) != Error::Ok) {
    context.fail(Error::InvalidArgument);
    return;
  }
  const auto plane = [](const executorch::aten::Tensor& t) {
    return static_cast<size_t>(t.size(t.dim() - 1)) * static_cast<size_t>(t.size(t.dim() - 2));
  };
  const size_t in_plane = plane(self), out_plane = plane(grad_output);
  if (in_plane == 0 || out_plane == 0) return;
  const size_t planes = static_cast<size_t>(grad_output.numel()) / out_plane;
  if (planes * in_plane != static_cast<size_t>(grad_input.numel())) {
    context.fail(Error::InvalidArgument);
    return;
  }
  const float* from = grad_output.const_data_ptr<float>();
  const int64_t* index = indices.const_data_ptr<int64_t>();
  float* to = grad_input.mutable_data_ptr<float>();
  std::fill_n(to, planes * in_plane, 0.0F);
  for (size_t p = 0; p < planes; ++p, from += out_plane, index += out_plane, to += in_plane) {
    for (size_t i = 0; i < out_plane; ++i) {
      // Windows may overlap: several outputs can share their largest input.
      if (index[i] < 0 || static_cast<size_t>(index[i]) >= in_plane) {
        context.fail(Error::InvalidArgument);
        return;
      }
      to[index[i]] += from[i];
    }
  }
}

}  // namespace

std::vector<Kernel> kernel_table() {
  std::vector<Kernel> table = {
      Kernel("aten::max_pool2d_with_indices_backward.grad_input", max_pool_backward_kernel),
      Kernel("aten::native_dropout.out", native_dropout_kernel),
  };
  for (const auto& family :
       {kernels::convolution_kernels(), kernels::creation_kernels(), kernels::elementwise_kernels(),
        kernels::indexing_kernels(), kernels::joining_kernels(), kernels::logical_kernels(),
        kernels::matmul_kernels(), kernels::normalization_kernels(), kernels::pooling_kernels(),
        kernels::reduction_kernels(), kernels::softmax_kernels(), kernels::unary_kernels(),
        kernels::view_kernels()}) {
    table.insert(table.end(), family.begin(), family.end());
  }
  const size_t ours = table.size();
  const auto replaced = [&table, ours](const Kernel& kernel) {
    return std::any_of(table.begin(), table.begin() + static_cast<std::ptrdiff_t>(ours),
                       [&kernel](const Kernel& own) { return std::strcmp(own.name_, kernel.name_) == 0; });
  };
  // The whole registry goes along: an operator that is missing here is looked up there, too, but logged as an
  // error.
  for (const Kernel& kernel : executorch::ET_RUNTIME_NAMESPACE::get_registered_kernels()) {
    if (!replaced(kernel)) table.push_back(kernel);
  }
  return table;
}

}  // namespace edgetrain
