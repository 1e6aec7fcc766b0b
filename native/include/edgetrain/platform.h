#pragma once

#include <executorch/runtime/core/error.h>

#include <cstdint>
#include <string>

#include "edgetrain/result.h"

namespace edgetrain {

/// Keeps ExecuTorch's log off stderr and remembers its last error instead, to be quoted in one line of our
/// own. Call once, before anything else of the runtime.
void quiet_runtime();

/// An ExecuTorch error in words: "`what`: InvalidArgument (what the runtime logged last)".
Failure runtime_failure(Exit exit, const std::string& what, executorch::runtime::Error error);

/// Sets the number of CPU threads of the whole process.
Status set_threads(uint32_t threads);

/// CPU threads kernels may use.
uint32_t thread_count();

/// Memory the process has now [bytes].
uint64_t rss_bytes();

/// Most memory the process has had so far [bytes].
uint64_t peak_rss_bytes();

}  // namespace edgetrain
