#include "library.h"

#include <dlfcn.h>
#ifndef __APPLE__
#include <link.h>
#endif
#include <unistd.h>

namespace edgetrain::kernels {
namespace {

/// A name is looked for where the runner looks for its libraries; not where a sanitizer stands between, which
/// is what the neighbour is for.
std::string path_of(const std::string& name) {
#ifdef __APPLE__
  return "@rpath/" + name;
#else
  std::string found = name;
  void* neighbour = ::dlopen("libexecutorch.so", RTLD_LAZY | RTLD_NOLOAD);
  const link_map* map = nullptr;
  if (neighbour != nullptr && ::dlinfo(neighbour, RTLD_DI_LINKMAP, &map) == 0) {
    const std::string beside = map->l_name;
    const std::string candidate = beside.substr(0, beside.rfind('/') + 1) + name;
    if (::access(candidate.c_str(), R_OK) == 0) found = candidate;
  }
  if (neighbour != nullptr) ::dlclose(neighbour);
  return found;
#endif
}

}  // namespace

void* load_library(const char* name, std::string& problem) {
  void* library = ::dlopen(path_of(name).c_str(), RTLD_NOW | RTLD_GLOBAL);
  if (library != nullptr) return library;
  const char* reason = ::dlerror();
  problem = std::string("put ") + name + " beside libexecutorch.so (" +
            (reason != nullptr ? reason : "it can't be loaded") + ")";
  return nullptr;
}

}  // namespace edgetrain::kernels
