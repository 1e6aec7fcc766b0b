#pragma once

#include <cstdint>
#include <string>

#include "edgetrain/metrics.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// One step of training.
struct StepRecord {
  uint64_t step = 0;  ///< 1 for the first
  uint64_t of = 0;    ///< steps of the whole run
  double loss = 0;    ///< mean over what counts in its batches
  double count = 0;   ///< how much that is: samples, or labels that aren't ignored
  double learning_rate = 0;
  uint64_t samples = 0;
  double time_s = 0;
};

/// Is told what happens while the library works. A failure it returns ends the run.
class Observer {
 public:
  virtual ~Observer() = default;
  /// After each epoch, when its weights are saved; epoch 0 is the state before training.
  virtual Status on_epoch(const EpochRecord&) { return {}; }
  virtual Status on_step(const StepRecord&) { return {}; }
  /// Something a user should know, in one sentence.
  virtual void on_note(const std::string&) {}
  /// What is being done.
  virtual void on_progress(const std::string&) {}
};

}  // namespace edgetrain
