#include "isa.h"

#include <string_view>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#include "compute.h"

namespace edgetrain::kernels {
namespace {

#define EDGETRAIN_NAME(isa, _) #isa,
/// Those of the build, the best last.
constexpr std::string_view kNames[] = {EDGETRAIN_FOR_EACH_ISA(EDGETRAIN_NAME, )};
#undef EDGETRAIN_NAME

#if defined(__x86_64__)
/// Whether the processor has instructions, and the system saves their registers: what the compiler's own
/// question does in ten times the code (Intel's manual, volume 1, chapters 14 and 15).
bool has_avx(bool wide) {
  unsigned a = 0, b = 0, c = 0, d = 0, features = 0;
  constexpr unsigned kFma = 1U << 12, kSaves = 1U << 27, kAvx2 = 1U << 5;
  // avx512f, dq, bw, vl
  constexpr unsigned kAvx512 = 1U << 16 | 1U << 17 | 1U << 30 | 1U << 31;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & (kFma | kSaves)) != (kFma | kSaves)) return false;
  if (__get_cpuid_count(7, 0, &a, &features, &c, &d) == 0) return false;
  unsigned saved = 0;
  __asm__("xgetbv" : "=a"(saved), "=d"(d) : "c"(0));
  const unsigned wanted = wide ? kAvx2 | kAvx512 : kAvx2, registers = wide ? 0xe6 : 0x6;
  return (features & wanted) == wanted && (saved & registers) == registers;
}
#endif

bool runs_here([[maybe_unused]] std::string_view isa) {
#if defined(__x86_64__)
  if (isa == "avx2" || isa == "avx512") return has_avx(isa == "avx512");
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
