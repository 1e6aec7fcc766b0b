#pragma once

#include <cstddef>
#include <vector>

#include "edgetrain/batch_loader.h"
#include "edgetrain/metrics.h"
#include "edgetrain/program.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// What one step computed.
struct StepResult {
  double loss = 0;   ///< mean over what counts in all its batches
  double count = 0;  ///< how much that is: samples, or labels that aren't ignored
  Meter meter;
  /// Whether the loss is finite, and the gradients as far as the program returns any. Where not, an optimizer
  /// outside of the program leaves the weights alone.
  bool finite = true;
  double seconds = 0;  ///< forward, backward and update; preparing batches is not part of it

  /// Takes in what a batch or a part of one gave: it counts by what its own loss is a mean over.
  void add(const Contract& contract, const Outcome& outcome, size_t samples);
  /// The loss becomes a mean, once there is no more to take in.
  void finish();
  /// What counts all together; 1 where nothing does, since loss and gradients are 0 then.
  double divisor() const { return count > 0 ? count : 1; }
};

/// Gradients of the mean loss over one or more batches, for an optimizer outside of the program. Refers to
/// the program and the loader, which must outlive it.
class MeanGradients {
 public:
  MeanGradients(Program& program, BatchLoader& batches) : program_(program), batches_(batches) {}

  /// Runs batches `first` to `end` - 1 of the epoch forward and backward.
  Result<StepResult> run(size_t first, size_t end);
  /// The gradients of the last run, valid until the program's next call.
  const std::vector<Parameter>& parameters() const { return parameters_; }

 private:
  Program& program_;
  BatchLoader& batches_;
  std::vector<Parameter> parameters_;
  std::vector<std::vector<float>> sums_;  // of several batches or parts, times their counts
};

}  // namespace edgetrain
