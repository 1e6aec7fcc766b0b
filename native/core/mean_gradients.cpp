#include "edgetrain/mean_gradients.h"

#include <algorithm>
#include <cmath>

#include "edgetrain/stopwatch.h"
#include "parts.h"

namespace edgetrain {

namespace {

/// What a loss is a mean over: samples, or labels that aren't ignored.
double counted_by(const Contract& contract, const Outcome& outcome) {
  return outcome.sums.at(contract.metrics[0].bottom)[0];
}

}  // namespace

void StepResult::add(const Contract& contract, const Outcome& outcome, size_t samples) {
  const double counted = counted_by(contract, outcome);
  loss += outcome.loss * counted;
  count += counted;
  meter.add(outcome.sums, samples);
}

void StepResult::finish() {
  loss /= divisor();
  finite = std::isfinite(loss);
}

Result<StepResult> MeanGradients::run(size_t first, size_t end) {
  const Contract& contract = program_.contract();
  const bool in_parts = contract.splits_batches && batches_.size(first) > contract.most_batch;
  const bool alone = end - first == 1 && !in_parts;
  StepResult step;
  sums_.resize(alone ? 0 : program_.parameters().size());
  for (auto& sum : sums_) std::fill(sum.begin(), sum.end(), 0.0F);
  const auto add_part = [&](const Batch& part) -> Status {
    const Stopwatch watch;
    EDGETRAIN_TAKE(const Outcome outcome, program_.gradients(part));
    step.add(contract, outcome, part.size);
    const auto counted = static_cast<float>(counted_by(contract, outcome));
    const auto& parameters = program_.parameters();
    for (size_t i = 0; i < sums_.size(); ++i) {
      sums_[i].resize(parameters[i].count);
      for (size_t j = 0; j < sums_[i].size(); ++j) sums_[i][j] += parameters[i].gradient[j] * counted;
    }
    step.seconds += watch.seconds();
    return {};
  };
  for (size_t b = first; b < end; ++b) {
    EDGETRAIN_TAKE(const Batch batch, batches_.batch(b));
    EDGETRAIN_CHECK(for_each_part(contract, batch, add_part));
  }
  step.finish();
  parameters_ = program_.parameters();
  for (size_t i = 0; i < sums_.size(); ++i) {
    for (float& value : sums_[i]) value /= static_cast<float>(step.divisor());
    parameters_[i].gradient = sums_[i].data();
  }
  step.finite =
      step.finite && std::all_of(parameters_.begin(), parameters_.end(), [](const Parameter& p) {
        return std::all_of(p.gradient, p.gradient + p.count, [](float g) { return std::isfinite(g); });
      });
  return step;
}

}  // namespace edgetrain
