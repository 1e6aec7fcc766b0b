#include "boxed.h"

#include <algorithm>
#include <cstring>
#include <new>

namespace edgetrain::kernels {

void Call::begin() {
  auto* tracer = context_.internal_event_tracer();
  if (tracer == nullptr) return;
  event_ = std::string(kKernelEvent) + (std::strchr(name_, ':') + 2);
  scope_.emplace(tracer, event_.c_str());
}

namespace {

/// More than any operator has.
constexpr size_t kMostArguments = 24;

bool run_ours(KernelRuntimeContext& context, Stack stack, const char* name, bool (*run)(Stack, Call&)) {
  Call call(context, name);
  return run(stack, call);
}

}  // namespace

void run_call(KernelRuntimeContext& context, Stack given, const char* name, bool (*run)(Stack, Call&)) {
  // A program may give fewer arguments than the operator has. The others are none, then.
  EValue none;
  EValue* arguments[kMostArguments];
  require(given.size() <= kMostArguments, "too many arguments");
  std::fill(std::copy(given.begin(), given.end(), arguments), arguments + kMostArguments, &none);
  const Stack stack(arguments, kMostArguments);
#ifdef __cpp_exceptions
  try {
    if (run_ours(context, stack, name, run)) return;
  } catch (const std::bad_alloc&) {
    return context.fail(Error::MemoryAllocationFailed);
  }
#else
  // An allocation that fails ends the process, as everywhere in the runner.
  if (run_ours(context, stack, name, run)) return;
#endif
  if (is_own(name)) return context.fail(Error::InvalidArgument);
  const auto stock = stock_kernel(name);
  if (stock == nullptr) return context.fail(Error::NotSupported);
  stock(context, given);  // which counts them
}

bool is_own(std::string_view name) { return name.rfind("edgetrain::", 0) == 0; }

bool is_dense(const Tensor& tensor, ScalarType type) {
  if (tensor.scalar_type() != type) return false;
  const auto order = tensor.dim_order();
  for (size_t i = 0; i < order.size(); ++i) {
    if (order[i] != i) return false;
  }
  return true;
}

bool resize(const Tensor& out, const std::vector<int64_t>& sizes) {
  const executorch::aten::ArrayRef<int64_t> list(sizes.data(), sizes.size());
  return executorch::runtime::resize_tensor(out, list) == Error::Ok;
}

std::vector<int64_t> sizes_of(const Tensor& tensor) { return {tensor.sizes().begin(), tensor.sizes().end()}; }

void require(bool good, const char* what) { ET_CHECK_MSG(good, "%s", what); }

void require_apart(const Tensor& indices, const Tensor& out) {
  const auto* read = static_cast<const char*>(indices.const_data_ptr());
  const auto* written = static_cast<const char*>(out.const_data_ptr());
  require(read + indices.nbytes() <= written || written + out.nbytes() <= read, "indices under the result");
}

double scalar(const EValue& value) {
  return value.isInt()      ? static_cast<double>(value.toInt())
         : value.isDouble() ? value.toDouble()
                            : static_cast<double>(value.toBool());
}

}  // namespace edgetrain::kernels
