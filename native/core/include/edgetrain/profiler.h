#pragma once

#include <executorch/runtime/core/event_tracer.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "edgetrain/result.h"
#include "edgetrain/stopwatch.h"

namespace edgetrain {

class Etdump;

/// Records which operators ran and for how long, over the first batches of a run, as an etdump and as sums.
class Profiler final : public executorch::runtime::EventTracer {
  using Entry = executorch::runtime::EventTracerEntry;
  using Chain = executorch::runtime::ChainID;
  using Handle = executorch::runtime::DebugHandle;
  using Delegate = executorch::runtime::DelegateDebugIntId;
  using Value = executorch::runtime::EValue;
  using Tensor = executorch::aten::Tensor;
  using Logged = executorch::runtime::Result<bool>;

 public:
  /// @param most batches to record; the memory that records take grows with them
  /// @param training whether batches of training are recorded, or those of evaluation and prediction
  static Result<std::unique_ptr<Profiler>> make(uint64_t most, bool training);

  ~Profiler() override;

  uint64_t batches() const { return batches_; }
  /// Writes the etdump, which `executorch.devtools.Inspector` reads. Atomic. Nothing can be recorded
  /// afterwards.
  Status write(const std::string& path);
  /// The operators by total time.
  std::string table() const;

  void create_event_block(const char* name) override;
  Entry start_profiling(const char* name, Chain chain, Handle handle) override;
  void end_profiling(Entry entry) override;

  // What is left of an event tracer is the etdump's business.
  Entry start_profiling_delegate(const char* name, Delegate index) override;
  void end_profiling_delegate(Entry entry, const void* metadata, size_t size) override;
  void log_profiling_delegate(const char* name, Delegate index, et_timestamp_t start, et_timestamp_t end,
                              const void* metadata, size_t size) override;
  void track_allocation(executorch::runtime::AllocatorID id, size_t size) override;
  executorch::runtime::AllocatorID track_allocator(const char* name) override;
  Logged log_evalue(const Value& value, executorch::runtime::LoggedEValueType type) override;
  Logged log_intermediate_output_delegate(const char* name, Delegate index, const Tensor& output) override;
  Logged log_intermediate_output_delegate(const char* name, Delegate index,
                                          const executorch::runtime::ArrayRef<Tensor> output) override;
  Logged log_intermediate_output_delegate(const char* name, Delegate index, const int& output) override;
  Logged log_intermediate_output_delegate(const char* name, Delegate index, const bool& output) override;
  Logged log_intermediate_output_delegate(const char* name, Delegate index, const double& output) override;
  void set_delegation_intermediate_output_filter(executorch::runtime::EventTracerFilterBase* filter) override;

 private:
  friend class ProfiledBatch;
  struct Sum {
    uint64_t calls = 0;
    double seconds = 0;
    void operator+=(const Sum& other) {
      calls += other.calls;
      seconds += other.seconds;
    }
  };

  Profiler(std::unique_ptr<Etdump> etdump, uint64_t most, bool training);

  std::unique_ptr<Etdump> etdump_;
  executorch::runtime::EventTracer& tracer_;  // the etdump's
  uint64_t most_, batches_ = 0;
  bool training_, active_ = false;
  // The operator that runs: how many events are open from its own on, its start, its kernel's event.
  int depth_ = 0;
  Stopwatch watch_;
  std::string kernel_;
  std::map<std::pair<std::string, bool>, Sum> sums_;  // by operator, and whether the kernel is one of ours
};

/// While it lives, events are recorded, if the batch is one that the profiler wants.
class ProfiledBatch {
 public:
  /// @param profiler may be null
  ProfiledBatch(Profiler* profiler, bool training);
  ProfiledBatch(const ProfiledBatch&) = delete;
  ~ProfiledBatch();

 private:
  Profiler* profiler_;
};

}  // namespace edgetrain
