#include "edgetrain/runtime_log.h"

#include <executorch/runtime/platform/platform.h>
#include <executorch/runtime/platform/runtime.h>

#include <cstdio>

#include "runtime_failure.h"

namespace edgetrain {
namespace {

// The runtime logs from any thread; a torn line would only be an ugly message, but it must not be a race.
thread_local char last_error[256];
// ExecuTorch has one log, and so one place for what is to be done about it.
void (*on_giving_up)(const char* message) = nullptr;

void keep_error(et_timestamp_t, et_pal_log_level_t level, const char*, const char*, size_t,
                const char* message, size_t length) {
  if (level != kError && level != kFatal) return;
  std::snprintf(last_error, sizeof(last_error), "%.*s", static_cast<int>(length < 250 ? length : 250),
                message);
  // Nothing else will say why.
  if (level == kFatal && on_giving_up != nullptr) on_giving_up(last_error);
}

}  // namespace

void keep_runtime_log(void (*gave_up)(const char* message)) {
  on_giving_up = gave_up;
  executorch::runtime::register_pal(executorch::runtime::PalImpl::create(keep_error, __FILE__));
  executorch::runtime::runtime_init();
}

Failure runtime_failure(Exit exit, const std::string& what, executorch::runtime::Error error) {
  std::string message = what + ": " + executorch::runtime::to_string(error);
  if (last_error[0] != '\0') message += std::string(" (") + last_error + ")";
  last_error[0] = '\0';
  return {exit, message};
}

}  // namespace edgetrain
