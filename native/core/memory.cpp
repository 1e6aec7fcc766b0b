#include "edgetrain/memory.h"

#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace edgetrain {
namespace {

/// A line of /proc/self/status, or else the peak that getrusage knows.
uint64_t memory_bytes(const char* name) {
  // Not getrusage first: a process that was forked from a larger one starts with that one's peak.
  unsigned long long kilobytes = 0;
  if (std::FILE* status = std::fopen("/proc/self/status", "r")) {
    char line[128];
    while (std::fgets(line, sizeof(line), status) != nullptr) {
      if (std::strncmp(line, name, std::strlen(name)) != 0) continue;
      kilobytes = std::strtoull(line + std::strlen(name), nullptr, 10);
      break;
    }
    std::fclose(status);
  }
  if (kilobytes > 0) return kilobytes * 1024;
  struct rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
  return static_cast<uint64_t>(usage.ru_maxrss);
#else
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
#endif
}

}  // namespace

uint64_t rss_bytes() { return memory_bytes("VmRSS:"); }

uint64_t peak_rss_bytes() { return memory_bytes("VmHWM:"); }

}  // namespace edgetrain
