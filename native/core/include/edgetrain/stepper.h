#pragma once

#include <cstddef>
#include <vector>

#include "edgetrain/batch_loader.h"
#include "edgetrain/optimizer.h"
#include "edgetrain/program.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// What one step computed.
struct StepResult {
  double loss = 0;   ///< mean over what counts in all its batches
  double count = 0;  ///< how much that is: samples, or labels that aren't ignored
  Meter meter;
};

/// One training step: forward and backward over one or more batches, then the optimizer. Refers to the
/// program and the loader, which must outlive it.
class Stepper {
 public:
  Stepper(Program& program, BatchLoader& batches, OptimizerSettings settings);

  /// Runs batches `first` to `end` - 1 of the epoch. The gradients of their mean loss are in parameters()
  /// then.
  Result<StepResult> forward_backward(size_t first, size_t end);
  bool gradients_finite() const;
  /// Takes the optimizer's step with these gradients.
  void update(double lr);

  const std::vector<Parameter>& parameters() const { return parameters_; }
  Optimizer& optimizer() { return optimizer_; }
  /// Time spent in forward, backward and optimizer so far [s]; preparing batches is not part of it.
  double seconds() const { return seconds_; }

 private:
  Program& program_;
  BatchLoader& batches_;
  Optimizer optimizer_;
  std::vector<Parameter> parameters_;     // their gradients are those of the whole step
  std::vector<std::vector<float>> sums_;  // gradients of several batches, times their counts
  double seconds_ = 0;
};

}  // namespace edgetrain
