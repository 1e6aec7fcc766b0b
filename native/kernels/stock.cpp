#include "stock.h"

#include <cstring>
#include <mutex>

#include "library.h"

namespace edgetrain::kernels {
namespace {

using executorch::ET_RUNTIME_NAMESPACE::Kernel;
using executorch::ET_RUNTIME_NAMESPACE::OpFunction;

std::vector<std::string> uncovered;
std::vector<OpFunction> stand_ins;  // for each of them
std::string missing;

OpFunction registered(const char* name) {
  for (const Kernel& kernel : executorch::ET_RUNTIME_NAMESPACE::get_registered_kernels()) {
    if (kernel.kernel_key_.is_fallback() && std::strcmp(kernel.name_, name) == 0) return kernel.op_;
  }
  return nullptr;
}

/// Loads them where they are missing.
OpFunction find_stock_kernel(const char* name) {
  OpFunction found = registered(name);
  if (found != nullptr) return found;
  std::string problem;
  if (!load_stock_kernels(problem)) {
    missing = "the program calls " + std::string(name) +
              " in a way that needs ExecuTorch's own kernels: " + problem;
    return nullptr;
  }
  return registered(name);
}

}  // namespace

bool load_stock_kernels(std::string& problem) {
  // Its static initialisers register the kernels.
  return load_library(EDGETRAIN_STOCK_KERNELS, problem) != nullptr;
}

OpFunction stock_kernel(const char* name) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  for (size_t i = 0; i < uncovered.size(); ++i) {
    if (uncovered[i] == name) return stand_ins[i];
  }
  uncovered.emplace_back(name);
  return stand_ins.emplace_back(find_stock_kernel(name));
}

const std::vector<std::string>& uncovered_operators() { return uncovered; }

const std::string& stock_problem() { return missing; }

}  // namespace edgetrain::kernels
