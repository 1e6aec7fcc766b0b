#pragma once

#include <executorch/devtools/etdump/etdump_flatcc.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "edgetrain/result.h"
#include "edgetrain/stopwatch.h"

namespace edgetrain {

/// Records which operators ran and for how long, over the first batches of a run, as an etdump and as sums.
class Profiler final : public executorch::etdump::ETDumpGen {
 public:
  /// @param most batches to record; the memory that records take grows with them
  /// @param training whether batches of training are recorded, or those of evaluation and prediction
  Profiler(uint64_t most, bool training) : most_(most), training_(training) {}

  uint64_t batches() const { return batches_; }
  /// Writes the etdump, which `executorch.devtools.Inspector` reads. Atomic. Nothing can be recorded
  /// afterwards.
  Status write(const std::string& path);
  /// The operators by total time.
  std::string table() const;

  void create_event_block(const char* name) override;
  executorch::runtime::EventTracerEntry start_profiling(const char* name, executorch::runtime::ChainID chain,
                                                        executorch::runtime::DebugHandle handle) override;
  void end_profiling(executorch::runtime::EventTracerEntry entry) override;

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
