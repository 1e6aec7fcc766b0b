#pragma once

#include <atomic>

#include "edgetrain/result.h"

namespace edgetrain {

/// How a client asks for an early end: set it from anywhere, a signal handler or another thread included.
using Stop = std::atomic<bool>;

/// A failure once an end was asked for, for work that has nothing to save.
/// @param stop may be null
inline Status check_stop(const Stop* stop) {
  return stop != nullptr && *stop ? Status(Failure{Exit::kInterrupted, "stopped by a signal"}) : Status();
}

}  // namespace edgetrain
