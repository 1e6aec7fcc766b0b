#include "edgetrain/cpu.h"

#include "../kernels/isa.h"

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

namespace threadpool = executorch::extension::threadpool;

Status use_instruction_set(const char* name) {
  if (kernels::use_isa(name)) return {};
  return bad_usage({"EDGETRAIN_ISA is ", std::string(name),
                    ", which this processor or build does not have; choose one of ", kernels::isa_names(),
                    ", or unset it"});
}

Status set_threads(uint32_t threads) {
  auto* pool = threadpool::get_threadpool();
  if (pool == nullptr || !pool->_unsafe_reset_threadpool(threads)) {
    return failed({"can't run with ", threads, " threads"});
  }
  return {};
}

uint32_t thread_count() {
  const auto* pool = threadpool::get_threadpool();
  return pool == nullptr ? 1 : static_cast<uint32_t>(pool->get_thread_count());
}

}  // namespace edgetrain
