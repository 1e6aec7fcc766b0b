// The kernels for ExecuTorch's Python bindings, which know no table of kernels but the registry.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>

#include "../core/operator_calls.h"
#include "../kernels/fast_kernels.h"

namespace edgetrain::kernels {
namespace {

/// The registry aborts at 2000 kernels; others want to register theirs as well.
constexpr size_t kMostRegistered = 1800;

bool is_registered(const OperatorCall& call) {
  for (const Kernel& kernel : executorch::ET_RUNTIME_NAMESPACE::get_registered_kernels()) {
    const bool same = !kernel.kernel_key_.is_fallback() && call.first == kernel.name_ &&
                      call.second == kernel.kernel_key_.data();
    if (same) return true;
  }
  return false;
}

/// Stock kernels are there already, for all calls of an operator. A kernel for just this kind of call comes
/// before them.
void register_for(const OperatorCall& call, const std::vector<Kernel>& kernels) {
  static std::deque<std::string> keys;  // the registry keeps pointers
  for (const Kernel& kernel : kernels) {
    const size_t registered = executorch::ET_RUNTIME_NAMESPACE::get_registered_kernels().size();
    if (call.first != kernel.name_ || is_registered(call) || registered >= kMostRegistered) continue;
    keys.push_back(call.second);
    (void)executorch::ET_RUNTIME_NAMESPACE::register_kernel(
        Kernel(kernel.name_, keys.back().c_str(), kernel.op_));
  }
}

}  // namespace
}  // namespace edgetrain::kernels

/// Registers kernels of ours for what a program calls; call it before its methods are loaded. It can't be
/// undone. A program that can't be read is left to the runtime to refuse.
/// @param data the .pte
extern "C" __attribute__((visibility("default"))) void edgetrain_register_kernels(const uint8_t* data,
                                                                                  size_t size) {
  using namespace edgetrain::kernels;
  const auto calls = edgetrain::operator_calls(data, size);
  if (!calls.ok()) return;
  const auto kernels = fast_kernels();
  for (const auto& call : *calls) register_for(call, kernels);
}

/// Whether this library has a kernel of an operator, as in edgetrain::lstm.out.
extern "C" __attribute__((visibility("default"))) bool edgetrain_has_kernel(const char* name) {
  const auto kernels = edgetrain::kernels::fast_kernels();
  return std::any_of(kernels.begin(), kernels.end(),
                     [name](const auto& kernel) { return std::strcmp(kernel.name_, name) == 0; });
}
