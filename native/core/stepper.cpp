#include "edgetrain/stepper.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "edgetrain/stopwatch.h"

namespace edgetrain {

Stepper::Stepper(Program& program, BatchLoader& batches, OptimizerSettings settings)
    : program_(program), batches_(batches), optimizer_(std::move(settings)) {}

Result<StepResult> Stepper::forward_backward(size_t first, size_t end) {
  const bool alone = end - first == 1;
  const std::string& counted = program_.contract().metrics[0].bottom;
  StepResult step;
  sums_.resize(alone ? 0 : program_.parameters().size());
  for (auto& sum : sums_) std::fill(sum.begin(), sum.end(), 0.0F);
  for (size_t b = first; b < end; ++b) {
    const Batch batch = batches_.batch(b);
    const Stopwatch watch;
    EDGETRAIN_TAKE(const Outcome outcome, program_.train(batch));
    seconds_ += watch.seconds();
    // The step's loss is one mean over all batches: each counts by what its own is a mean over.
    const double count = outcome.sums.at(counted)[0];
    step.loss += outcome.loss * count;
    step.count += count;
    step.meter.add(outcome.sums, batch.size);
    const auto& parameters = program_.parameters();
    for (size_t i = 0; i < sums_.size(); ++i) {
      sums_[i].resize(parameters[i].count);
      for (size_t j = 0; j < sums_[i].size(); ++j) {
        sums_[i][j] += parameters[i].gradient[j] * static_cast<float>(count);
      }
    }
  }
  // Where nothing counts, loss and gradients are 0.
  const double total = step.count > 0 ? step.count : 1;
  step.loss /= total;
  parameters_ = program_.parameters();
  for (size_t i = 0; i < sums_.size(); ++i) {
    for (float& value : sums_[i]) value /= static_cast<float>(total);
    parameters_[i].gradient = sums_[i].data();
  }
  return step;
}

bool Stepper::gradients_finite() const {
  return std::all_of(parameters_.begin(), parameters_.end(), [](const Parameter& p) {
    return std::all_of(p.gradient, p.gradient + p.count, [](float g) { return std::isfinite(g); });
  });
}

void Stepper::update(double lr) {
  const Stopwatch watch;
  optimizer_.step(parameters_, lr);
  seconds_ += watch.seconds();
}

}  // namespace edgetrain
