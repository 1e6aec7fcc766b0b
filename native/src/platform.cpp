#include "edgetrain/platform.h"

#include <executorch/runtime/platform/platform.h>
#include <executorch/runtime/platform/runtime.h>
#include <sys/resource.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

// The wheel exports these but does not ship threadpool.h.
namespace executorch::extension::threadpool {
class ThreadPool {
 public:
  size_t get_thread_count() const;
  bool _unsafe_reset_threadpool(uint32_t new_thread_count);
};
ThreadPool* get_threadpool();
}  // namespace executorch::extension::threadpool

namespace edgetrain {
namespace {

namespace threadpool = executorch::extension::threadpool;

// The runtime logs from any thread; a torn line would only be an ugly message, but it must not be a race.
thread_local char last_error[256];

void keep_error(et_timestamp_t, et_pal_log_level_t level, const char*, const char*, size_t,
                const char* message, size_t length) {
  if (level != kError && level != kFatal) return;
  std::snprintf(last_error, sizeof(last_error), "%.*s", static_cast<int>(length < 250 ? length : 250),
                message);
  // The process is about to abort: nothing of ours will say why.
  if (level == kFatal) std::fprintf(stderr, "edgetrain-runner: ExecuTorch gave up: %s\n", last_error);
}

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

void quiet_runtime() {
  executorch::runtime::register_pal(executorch::runtime::PalImpl::create(keep_error, __FILE__));
  executorch::runtime::runtime_init();
}

Failure runtime_failure(Exit exit, const std::string& what, executorch::runtime::Error error) {
  std::string message = what + ": " + executorch::runtime::to_string(error);
  if (last_error[0] != '\0') message += std::string(" (") + last_error + ")";
  last_error[0] = '\0';
  return {exit, message};
}

Status set_threads(uint32_t threads) {
  auto* pool = threadpool::get_threadpool();
  if (pool == nullptr || !pool->_unsafe_reset_threadpool(threads)) {
    return failed("can't run with " + std::to_string(threads) + " threads");
  }
  return {};
}

uint32_t thread_count() {
  const auto* pool = threadpool::get_threadpool();
  return pool == nullptr ? 1 : static_cast<uint32_t>(pool->get_thread_count());
}

uint64_t rss_bytes() { return memory_bytes("VmRSS:"); }

uint64_t peak_rss_bytes() { return memory_bytes("VmHWM:"); }

}  // namespace edgetrain
