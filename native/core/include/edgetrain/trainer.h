#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "edgetrain/batch_loader.h"
#include "edgetrain/job.h"
#include "edgetrain/metrics.h"
#include "edgetrain/observer.h"
#include "edgetrain/program.h"
#include "edgetrain/result.h"
#include "edgetrain/schedule.h"
#include "edgetrain/stepper.h"
#include "edgetrain/stop.h"

namespace edgetrain {

struct RunRecord;
class BestEpoch;
class History;
class KeptWeights;

/// The sums of a data set in evaluation mode.
/// @param stop may be null
Result<Meter> evaluate(Program& program, BatchLoader& loader, const Stop* stop = nullptr);

/// The fine-tuning loop. Refers to everything it is given, which must outlive it.
class Trainer {
 public:
  /// @param validation, stop may be null
  /// @param choice as choose_update makes it
  /// @param best tells which epoch is best
  /// @param history is filled in and saved with the weights
  /// @param source SHA-256 of all that the run starts from, by what it is
  Trainer(Program& program, BatchLoader& training, BatchLoader* validation, const Job& job,
          const UpdateChoice& choice, BestEpoch best, std::optional<History> history,
          std::map<std::string, std::string> source, Observer& observer, const Stop* stop = nullptr);
  ~Trainer();

  /// Goes on from a saved run: weights, optimizer, position.
  Status resume();
  /// Trains to the end of the run and writes weights, state and history after every epoch, and when
  /// interrupted.
  Status run();
  uint64_t steps() const;
  /// The epoch whose weights are the output, where that is not always the last.
  std::optional<uint64_t> kept_epoch() const;
  /// Of the last validation, or that of the best epoch if its weights are kept; what was before a run was
  /// resumed isn't known.
  const EpochRecord& last() const { return last_; }

 private:
  Status train_epoch();
  Status train_step();
  Status validate(EpochRecord& record);
  void keep_if_best(uint64_t epoch, bool whole);
  Status save();
  Status stop_if_asked(bool save_first);
  Failure not_finite(const std::string& what, const std::string& sample = {}) const;
  EpochRecord new_record() const;
  Status check_same_run(const RunRecord& saved) const;
  double rate(uint64_t step) const;
  uint64_t steps_per_epoch() const;

  Program& program_;
  BatchLoader& training_;
  BatchLoader* validation_;
  const Job& job_;
  Observer& observer_;
  const Stop* stop_;
  ScheduleSettings schedule_;
  double lr_;
  std::unique_ptr<Stepper> stepper_;
  uint64_t accumulate_, total_steps_;
  std::unique_ptr<RunRecord> run_;
  std::unique_ptr<BestEpoch> best_epoch_;
  std::unique_ptr<KeptWeights> best_;
  std::unique_ptr<History> history_;  // null: none is asked for
  bool resumed_ = false, saved_ = false;
  bool is_new_best_ = false;  // what is kept, and not written yet
  EpochRecord last_;
};

}  // namespace edgetrain
