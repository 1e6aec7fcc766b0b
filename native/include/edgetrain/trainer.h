#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "edgetrain/batch_loader.h"
#include "edgetrain/dataset.h"
#include "edgetrain/history.h"
#include "edgetrain/program.h"
#include "edgetrain/result.h"
#include "edgetrain/schedule.h"
#include "edgetrain/state_file.h"
#include "edgetrain/stepper.h"

namespace edgetrain {

struct TrainSettings {
  std::string output;
  uint64_t epochs = 5;
  std::optional<uint64_t> max_steps;
  uint64_t eval_every = 1;  ///< validate every so many epochs; 0: only before the first and after the last
  uint64_t accumulate = 1;  ///< batches whose gradients make one step
  uint64_t save_every = 0;  ///< also save every so many steps; 0: after epochs only
  uint64_t seed = 0;
  bool log_steps = false;  ///< a JSON line per step
  OptimizerSettings optimizer;
  ScheduleSettings schedule;
  /// All that must be the same in a resumed run, as (what, value).
  std::vector<std::pair<std::string, std::string>> identity;
};

/// Mean loss and accuracy over a data set in evaluation mode.
Result<Meter> evaluate(Program& program, BatchLoader& loader, const std::string& loss);

/// The fine-tuning loop. Refers to everything it is given, which must outlive it.
class Trainer {
 public:
  /// @param validation may be null.
  Trainer(Program& program, BatchLoader& training, BatchLoader* validation, const TrainSettings& settings);

  /// Goes on from a saved run: weights, optimizer, position.
  Status resume();
  /// Trains to the end of the run and writes weights and state after every epoch, and when interrupted.
  Status run();
  uint64_t steps() const { return step_; }
  /// Of the last validation; its times are not part of what a resumed run knows.
  const EpochRecord& last() const { return last_; }

 private:
  Status train_epoch();
  Status train_step();
  Status validate(EpochRecord& record);
  Status save();
  Status stop_if_asked(bool save_first);
  Failure not_finite(const std::string& what) const;
  double rate(uint64_t step) const;
  uint64_t steps_per_epoch() const;

  Program& program_;
  BatchLoader& training_;
  BatchLoader* validation_;
  const TrainSettings& settings_;
  Stepper stepper_;
  std::string loss_;
  uint64_t total_steps_;
  uint64_t epoch_ = 0, batch_ = 0, step_ = 0;
  Meter meter_;
  double train_time_ = 0;
  bool resumed_ = false, saved_ = false;
  EpochRecord last_;
};

}  // namespace edgetrain
