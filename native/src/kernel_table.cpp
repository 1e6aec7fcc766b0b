#include "edgetrain/kernel_table.h"

#include <executorch/runtime/core/exec_aten/util/tensor_util.h>
#include <executorch/runtime/kernel/kernel_runtime_context.h>

#include <algorithm>
#include <cstring>

#include "../kernels/fast_kernels.h"
#include "../kernels/stock.h"

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

/// Ours, and those the runtime has registered for other operators. An operator that is missing here is looked
/// up there, too, but logged as an error.
std::vector<Kernel> known_kernels() {
  std::vector<Kernel> table = kernels::fast_kernels();
  table.emplace_back("aten::max_pool2d_with_indices_backward.grad_input", max_pool_backward_kernel);
  table.emplace_back("aten::native_dropout.out", native_dropout_kernel);
  const std::vector<Kernel> ours = table;
  for (const Kernel& kernel : executorch::ET_RUNTIME_NAMESPACE::get_registered_kernels()) {
    const bool replaced = std::any_of(ours.begin(), ours.end(), [&kernel](const Kernel& own) {
      return std::strcmp(own.name_, kernel.name_) == 0;
    });
    if (!replaced) table.push_back(kernel);
  }
  return table;
}

std::vector<std::string> missing_operators(const std::vector<OperatorCall>& calls,
                                           const std::vector<Kernel>& table) {
  std::vector<std::string> missing;
  for (const auto& [name, key] : calls) {
    const bool found = std::any_of(table.begin(), table.end(),
                                   [name = name](const Kernel& kernel) { return name == kernel.name_; });
    if (!found && (missing.empty() || missing.back() != name)) missing.push_back(name);
  }
  return missing;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

Result<KernelTable> kernel_table(const std::vector<OperatorCall>& calls) {
  KernelTable table = {known_kernels(), {}};
  table.stock = missing_operators(calls, table.kernels);
  if (table.stock.empty()) return table;
  if (const Status loaded = kernels::load_stock_kernels(); !loaded.ok()) {
    return bad_input("the program needs ExecuTorch's own kernels of " + joined(table.stock) + ": " +
                     loaded.failure().message);
  }
  table.kernels = known_kernels();
  const auto missing = missing_operators(calls, table.kernels);
  if (!missing.empty()) {
    return bad_input("neither edgetrain nor ExecuTorch has a kernel of " + joined(missing) +
                     "; export a model that does without");
  }
  return table;
}

}  // namespace edgetrain
