#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "edgetrain/batch_loader.h"
#include "edgetrain/flat_tensor.h"
#include "edgetrain/mean_gradients.h"
#include "edgetrain/optimizer.h"
#include "edgetrain/program.h"
#include "edgetrain/program_optimizer.h"
#include "edgetrain/result.h"
#include "edgetrain/tensor_writer.h"

namespace edgetrain {

/// Makes the steps of one optimizer over the batches of a loader. Refers to both and to the program, which
/// must outlive it.
class Stepper {
 public:
  /// @param choice as choose_update makes it
  static std::unique_ptr<Stepper> make(Program& program, BatchLoader& batches, const Settings& settings,
                                       const UpdateChoice& choice);
  virtual ~Stepper() = default;

  /// One step by batches `first` to `end` - 1 of the epoch.
  virtual Result<StepResult> step(size_t first, size_t end, double lr) = 0;
  /// How many there were.
  virtual uint64_t steps() const = 0;

  /// What the optimizer remembers from step to step, as a run's state holds it: `optimizer.first/NAME` and
  /// `optimizer.second/NAME`, NAME being a parameter's.
  virtual std::vector<NamedTensor> memory() const = 0;
  /// Goes on from a state; false where that is of another optimizer.
  virtual bool restore(uint64_t steps, const TensorFile& state) = 0;
};

}  // namespace edgetrain
