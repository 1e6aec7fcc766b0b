#pragma once

#include <cstdint>

namespace edgetrain::kernels {

/// Calls task(context, begin, end) for parts of [0, count), on all threads of the runtime, or for all of it
/// on this one where threads would not pay. Tasks must not share what they write. A plain function pointer,
/// so that the instruction sets' translation units share no inline function.
void run_parallel(int64_t count, void (*task)(const void* context, int64_t begin, int64_t end),
                  const void* context, bool pays) noexcept;

/// Threads that may run at once.
int64_t thread_count();

}  // namespace edgetrain::kernels
