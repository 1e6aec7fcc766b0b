// How a kernel of ours stands in for a stock one.
#pragma once

#include <executorch/runtime/core/exec_aten/util/tensor_util.h>
#include <executorch/runtime/kernel/kernel_runtime_context.h>

#include <cstring>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "edgetrain/kernel_table.h"
#include "stock.h"

namespace edgetrain::kernels {

using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::ET_RUNTIME_NAMESPACE::Kernel;
using executorch::ET_RUNTIME_NAMESPACE::KernelRuntimeContext;
using executorch::runtime::Error;
using executorch::runtime::EValue;
/// Arguments in the order of the operator's schema, outputs last.
using Stack = executorch::runtime::Span<EValue*>;

/// The runtime's own kernel; fails the call where there is none.
template <class Operator>
void call_stock(KernelRuntimeContext& context, Stack stack) {
  static const auto stock = stock_kernel(Operator::kName);
  if (stock == nullptr) return context.fail(Error::NotSupported);
  stock(context, stack);
}

/// Runs Operator::run(*Operator::plan(stack)). Where there is no plan, because the call is not one that our
/// kernel covers, the stock kernel runs, and says so in a profile.
template <class Operator>
void run_boxed(KernelRuntimeContext& context, Stack stack) {
  static const std::string event = std::string(kKernelEvent) + (std::strchr(Operator::kName, ':') + 2);
  const auto plan = Operator::plan(stack);
  if (!plan) return call_stock<Operator>(context, stack);
  const KernelScope scope(context.internal_event_tracer(), event.c_str());
  try {
    Operator::run(*plan);
  } catch (const std::bad_alloc&) {
    context.fail(Error::MemoryAllocationFailed);
  }
}

template <class Operator>
Kernel boxed() {
  return Kernel(Operator::kName, run_boxed<Operator>);
}

/// Whether elements of that type lie in the order of the dimensions.
inline bool is_dense(const Tensor& tensor, ScalarType type = ScalarType::Float) {
  if (tensor.scalar_type() != type) return false;
  const auto order = tensor.dim_order();
  for (size_t i = 0; i < order.size(); ++i) {
    if (order[i] != i) return false;
  }
  return true;
}

template <class... Tensors>
bool are_dense(const Tensors&... tensors) {
  return (is_dense(tensors) && ...);
}

/// Gives an output the shape of this call; not every call has the size that memory was planned for.
inline bool resize(const Tensor& out, const std::vector<int64_t>& sizes) {
  const executorch::aten::ArrayRef<int64_t> list(sizes.data(), sizes.size());
  return executorch::runtime::resize_tensor(out, list) == Error::Ok;
}

inline std::vector<int64_t> sizes_of(const Tensor& tensor) {
  return {tensor.sizes().begin(), tensor.sizes().end()};
}

inline double scalar(const EValue& value) {
  return value.isInt()      ? static_cast<double>(value.toInt())
         : value.isDouble() ? value.toDouble()
                            : static_cast<double>(value.toBool());
}

}  // namespace edgetrain::kernels
