#include "stock.h"

#include <dlfcn.h>
#ifndef __APPLE__
#include <link.h>
#endif
#include <unistd.h>

#include <cstring>
#include <mutex>

namespace edgetrain::kernels {
namespace {

using executorch::ET_RUNTIME_NAMESPACE::Kernel;
using executorch::ET_RUNTIME_NAMESPACE::OpFunction;

std::vector<std::string> uncovered;
std::vector<OpFunction> stand_ins;  // for each of them
Status missing;

OpFunction registered(const char* name) {
  for (const Kernel& kernel : executorch::ET_RUNTIME_NAMESPACE::get_registered_kernels()) {
    if (kernel.kernel_key_.is_fallback() && std::strcmp(kernel.name_, name) == 0) return kernel.op_;
  }
  return nullptr;
}

/// A name is looked for where the runner looks for its libraries; not where a sanitizer stands between, which
/// is what the neighbour is for.
std::string path() {
#ifdef __APPLE__
  return "@rpath/" EDGETRAIN_STOCK_KERNELS;
#else
  std::string found = EDGETRAIN_STOCK_KERNELS;
  void* neighbour = ::dlopen("libexecutorch.so", RTLD_LAZY | RTLD_NOLOAD);
  const link_map* map = nullptr;
  if (neighbour != nullptr && ::dlinfo(neighbour, RTLD_DI_LINKMAP, &map) == 0) {
    const std::string beside = map->l_name;
    const std::string candidate = beside.substr(0, beside.rfind('/') + 1) + found;
    if (::access(candidate.c_str(), R_OK) == 0) found = candidate;
  }
  if (neighbour != nullptr) ::dlclose(neighbour);
  return found;
#endif
}

/// Loads them where they are missing.
OpFunction find_stock_kernel(const char* name) {
  OpFunction found = registered(name);
  if (found != nullptr) return found;
  if (const Status loaded = load_stock_kernels(); !loaded.ok()) {
    missing = bad_input("the program calls " + std::string(name) +
                        " in a way that needs ExecuTorch's own kernels: " + loaded.failure().message);
    return nullptr;
  }
  return registered(name);
}

}  // namespace

Status load_stock_kernels() {
  // Its static initialisers register the kernels. It stays: they are called until the process ends.
  if (::dlopen(path().c_str(), RTLD_NOW | RTLD_GLOBAL) != nullptr) return {};
  const char* reason = ::dlerror();
  return bad_input("put " EDGETRAIN_STOCK_KERNELS " beside edgetrain-runner or into ../lib (" +
                   std::string(reason != nullptr ? reason : "it can't be loaded") + ")");
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

const Status& stock_status() { return missing; }

}  // namespace edgetrain::kernels
