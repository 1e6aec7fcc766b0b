// How a kernel of ours stands in for a stock one.
#pragma once

#include <edgetrain_build/operators.h>
#include <executorch/runtime/core/event_tracer_hooks.h>
#include <executorch/runtime/core/exec_aten/util/tensor_util.h>
#include <executorch/runtime/kernel/kernel_runtime_context.h>
#include <executorch/runtime/kernel/operator_registry.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

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
using KernelScope = executorch::runtime::internal::EventTracerProfileOpScope;

/// How the events of our kernels in a profile begin, after which comes the operator's name.
constexpr char kKernelEvent[] = "edgetrain_call_";

/// A call of an operator that we have a kernel of.
class Call {
 public:
  Call(KernelRuntimeContext& context, const char* name) : context_(context), name_(name) {}

  /// Our kernel covers the call: from here on it is that kernel's event in a profile.
  void begin();

 private:
  KernelRuntimeContext& context_;
  const char* name_;
  std::string event_;
  std::optional<KernelScope> scope_;
};

/// Runs our kernel. Where it returns false, without having begun, because the call is not one that it covers,
/// the stock kernel runs, and says so in a profile; of an operator of our own there is none, and the call
/// fails.
void run_call(KernelRuntimeContext& context, Stack stack, const char* name, bool (*run)(Stack, Call&));

/// Runs Operator::run(*Operator::plan(stack)), if there is a plan.
template <class Operator>
bool run_planned(Stack stack, Call& call) {
  const auto plan = Operator::plan(stack);
  if (!plan) return false;
  call.begin();
  Operator::run(*plan);
  return true;
}

template <class Operator>
void run_boxed(KernelRuntimeContext& context, Stack stack) {
  run_call(context, stack, Operator::kName, run_planned<Operator>);
}

template <class Operator>
void add_kernel(std::vector<Kernel>& kernels) {
  if constexpr (is_chosen(Operator::kName)) kernels.emplace_back(Operator::kName, run_boxed<Operator>);
}

/// The kernels of those operators that this build has.
template <class... Operators>
std::vector<Kernel> kernels_of() {
  std::vector<Kernel> kernels;
  (add_kernel<Operators>(kernels), ...);
  return kernels;
}

/// Whether an operator is one of edgetrain's own, of which there is no stock kernel.
bool is_own(std::string_view name);

/// Whether elements of that type lie in the order of the dimensions.
bool is_dense(const Tensor& tensor, ScalarType type = ScalarType::Float);

template <class... Tensors>
bool are_dense(const Tensors&... tensors) {
  return (is_dense(tensors) && ...);
}

/// Gives an output the shape of this call; not every call has the size that memory was planned for.
bool resize(const Tensor& out, const std::vector<int64_t>& sizes);

std::vector<int64_t> sizes_of(const Tensor& tensor);

double scalar(const EValue& value);

/// What every program has that an exporter made; the process ends without it. A stock kernel would go on.
void require(bool good, const char* what);

/// Indices that were looked at are still the same while the result is written.
void require_apart(const Tensor& indices, const Tensor& out);

}  // namespace edgetrain::kernels
