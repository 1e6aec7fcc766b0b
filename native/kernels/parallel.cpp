#include "parallel.h"

#include <executorch/runtime/kernel/thread_parallel_interface.h>

#include <algorithm>

#include "blocking.h"

namespace edgetrain::kernels {

int64_t thread_count() { return executorch::extension::get_thread_count(); }

void run_parallel(int64_t count, void (*task)(const void*, int64_t, int64_t), const void* context,
                  bool pays) noexcept {
  if (count <= 0) return;
  const int64_t threads = pays ? thread_count() : 1;
  if (threads <= 1 || count == 1) {
    task(context, 0, count);
    return;
  }
  const int64_t part = std::max<int64_t>(1, count / (kTasksPerThread * threads));
  executorch::extension::parallel_for(
      0, count, part, [task, context](int64_t begin, int64_t end) { task(context, begin, end); });
}

}  // namespace edgetrain::kernels
