#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "edgetrain/atomic_file.h"
#include "edgetrain/flat_tensor.h"
#include "edgetrain/metrics.h"
#include "edgetrain/program.h"
#include "edgetrain/result.h"
#include "edgetrain/stepper.h"
#include "kept_weights.h"

namespace edgetrain {

/// Where a run stands.
struct RunRecord {
  /// SHA-256 of what it started from: `program`, `weights` (empty where they are inside), `data`.
  std::map<std::string, std::string> source;
  std::map<std::string, std::string> config;  ///< sections of its settings, each a JSON object
  uint64_t total_steps = 0;                   ///< steps it was planned for when it was saved
  uint64_t epoch = 0;                         ///< finished epochs
  uint64_t batch = 0;                         ///< batches done of the epoch under way
  uint64_t step = 0, optimizer_steps = 0;     ///< optimizer steps since the start
  Meter meter;                                ///< of the epoch under way
  double train_time_s = 0;                    ///< spent on it
  std::vector<std::string> epochs;            ///< finished ones, each a JSON object
  std::optional<uint64_t> best_epoch;         ///< the best of them, where somebody asks for it
};

/// tuned.state.ptd: what a run is resumed from, with the weights and the optimizer's memory. It is a .ptd
/// like any other, in the one format of all of edgetrain's runtimes (`artifacts/run_state.py`). Results are
/// bitwise those of a run without interruption.
class RunState {
 public:
  static Result<RunState> open(const std::string& path);
  /// A new state, which waits to take its name.
  /// @param best what is kept of the best epoch
  static Result<AtomicFile> new_file(const std::string& path, const RunRecord& record, const Program& program,
                                     const Stepper& stepper, const KeptWeights& best);

  RunRecord record;
  /// Writes the weights into the program's live memory, the optimizer's memory into the stepper, and what is
  /// kept of the best epoch, if anything, into `best`.
  Status restore(const Program& program, Stepper& stepper, KeptWeights& best) const;

 private:
  explicit RunState(TensorFile file) : file_(std::move(file)) {}
  Failure unusable() const;
  TensorFile file_;
};

}  // namespace edgetrain
