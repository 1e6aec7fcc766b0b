#include "isa.h"

#include <cstring>
#include <vector>

namespace edgetrain::kernels {

namespace baseline {
extern const Compute kCompute;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Compute kCompute;
}
namespace avx512 {
extern const Compute kCompute;
}
#elif defined(__aarch64__)
namespace neon {
extern const Compute kCompute;
}
#endif

namespace {

struct Isa {
  const char* name;
  const Compute* compute;
};

/// Those this processor has, the best last.
std::vector<Isa> available() {
  std::vector<Isa> found = {{"baseline", &baseline::kCompute}};
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    found.push_back({"avx2", &avx2::kCompute});
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")) {
      found.push_back({"avx512", &avx512::kCompute});
    }
  }
#elif defined(__aarch64__)
  found.push_back({"neon", &neon::kCompute});
#endif
  return found;
}

Isa chosen = {nullptr, nullptr};

const Isa& current() {
  if (chosen.compute == nullptr) chosen = available().back();
  return chosen;
}

}  // namespace

bool use_isa(const char* name) {
  const auto isas = available();
  if (name == nullptr || *name == '\0') {
    chosen = isas.back();
    return true;
  }
  for (const Isa& isa : isas) {
    if (std::strcmp(isa.name, name) != 0) continue;
    chosen = isa;
    return true;
  }
  return false;
}

std::string isa_names() {
  std::string names;
  for (const Isa& isa : available()) names += (names.empty() ? "" : ", ") + std::string(isa.name);
  return names;
}

std::string isa_name() { return current().name; }

const Compute& compute() { return *current().compute; }

}  // namespace edgetrain::kernels
