#include "isa.h"

#include <string_view>

#include "compute.h"

namespace edgetrain::kernels {
namespace {

#define EDGETRAIN_NAME(isa, _) #isa,
/// Those of the build, the best last.
constexpr std::string_view kNames[] = {EDGETRAIN_FOR_EACH_ISA(EDGETRAIN_NAME, )};
#undef EDGETRAIN_NAME

bool runs_here([[maybe_unused]] std::string_view isa) {
#if defined(__x86_64__)
  if (isa == "avx2" || isa == "avx512") {
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return false;
  }
  if (isa == "avx512") {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
  }
#endif
  return true;
}

size_t best_isa() {
  size_t best = kIsaCount - 1;
  while (best > 0 && !runs_here(kNames[best])) --best;
  return best;
}

constexpr size_t kNone = kIsaCount;
size_t chosen = kNone;

}  // namespace

bool use_isa(const char* name) {
  if (name == nullptr || *name == '\0') {
    chosen = best_isa();
    return true;
  }
  for (size_t i = 0; i < kIsaCount; ++i) {
    if (kNames[i] != name || !runs_here(kNames[i])) continue;
    chosen = i;
    return true;
  }
  return false;
}

std::string isa_names() {
  std::string names;
  for (const std::string_view name : kNames) {
    if (runs_here(name)) names += (names.empty() ? "" : ", ") + std::string(name);
  }
  return names;
}

size_t chosen_isa() {
  if (chosen == kNone) chosen = best_isa();
  return chosen;
}

std::string isa_name() { return std::string(kNames[chosen_isa()]); }

}  // namespace edgetrain::kernels
