#include "edgetrain/stepper.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "edgetrain/stopwatch.h"
#include "parts.h"

namespace edgetrain {
namespace {

constexpr char kFirst[] = "optimizer.first/", kSecond[] = "optimizer.second/";

/// By the program's own optimizer, whose state lies in the program's memory.
class StepperInGraph final : public Stepper {
 public:
  StepperInGraph(Program& program, BatchLoader& batches, const Settings& settings)
      : program_(program), batches_(batches), settings_(settings) {
    for (const LiveTensor& state : program.states()) {
      const auto starts = [&state](const char* prefix) { return state.name.rfind(prefix, 0) == 0; };
      if (starts(kFirst) || starts(kSecond)) kept_.push_back(&state);
    }
  }

  Result<StepResult> step(size_t first, size_t end, double lr) override {
    const Contract& contract = program_.contract();
    Hyperparameters told = hyperparameters(settings_, steps_ + 1, lr);
    // The first part of a step starts the sum of the gradients, others add to it.
    told["keep"] = 0;
    StepResult step;
    const auto add_part = [&](const Batch& part) -> Status {
      const Stopwatch watch;
      EDGETRAIN_TAKE(const Outcome outcome, program_.train(part, told));
      step.seconds += watch.seconds();
      step.add(contract, outcome, part.size);
      told["keep"] = 1;
      return {};
    };
    for (size_t b = first; b < end; ++b) {
      EDGETRAIN_TAKE(const Batch batch, batches_.batch(b));
      EDGETRAIN_CHECK(for_each_part(contract, batch, add_part));
    }
    step.finish();
    if (contract.splits_batches && step.finite) {
      const Stopwatch watch;
      told["divisor"] = step.divisor();
      EDGETRAIN_CHECK(program_.update(told));
      step.seconds += watch.seconds();
    }
    ++steps_;
    return step;
  }

  uint64_t steps() const override { return steps_; }

  std::vector<NamedTensor> memory() const override {
    std::vector<NamedTensor> tensors;
    for (const LiveTensor* state : kept_)
      tensors.push_back({state->name, state->shape, state->dtype, state->data, state->bytes});
    return tensors;
  }

  bool restore(uint64_t steps, const TensorFile& state) override {
    for (const LiveTensor* live : kept_) {
      const TensorEntry* entry = state.find(live->name);
      if (entry == nullptr || entry->size != live->bytes || entry->dtype != live->dtype) return false;
      std::memcpy(live->data, state.data(*entry), live->bytes);
    }
    steps_ = steps;
    return true;
  }

 private:
  Program& program_;
  BatchLoader& batches_;
  Settings settings_;
  std::vector<const LiveTensor*> kept_;
  uint64_t steps_ = 0;
};

/// By an optimizer outside, in place on the memory that the program computes with.
class StepperOutside final : public Stepper {
 public:
  StepperOutside(Program& program, BatchLoader& batches, const Settings& settings)
      : program_(program), gradients_(program, batches), optimizer_(OptimizerSettings(settings)) {}

  Result<StepResult> step(size_t first, size_t end, double lr) override {
    EDGETRAIN_TAKE(StepResult step, gradients_.run(first, end));
    if (!step.finite) return step;
    const Stopwatch watch;
    optimizer_.step(gradients_.parameters(), lr);
    step.seconds += watch.seconds();
    return step;
  }

  uint64_t steps() const override { return optimizer_.steps(); }

  std::vector<NamedTensor> memory() const override {
    std::vector<NamedTensor> tensors;
    const auto& parameters = program_.parameters();
    for (size_t i = 0; i < optimizer_.first().size(); ++i) {
      const auto add = [&](const char* prefix, const std::vector<float>& values) {
        if (values.empty()) return;
        tensors.push_back({prefix + parameters[i].name, parameters[i].shape, dtype::kFloat32, values.data(),
                           values.size() * sizeof(float)});
      };
      add(kFirst, optimizer_.first()[i]);
      add(kSecond, optimizer_.second()[i]);
    }
    return tensors;
  }

  bool restore(uint64_t steps, const TensorFile& state) override {
    bool fits = true;
    // None before the first step, and where the optimizer keeps none.
    const auto floats = [&](const std::string& name, size_t count) -> std::vector<float> {
      const TensorEntry* entry = state.find(name);
      if (entry == nullptr || entry->dtype != dtype::kFloat32 || entry->size == 0) return {};
      fits = fits && entry->size == count * sizeof(float);
      const auto* values = reinterpret_cast<const float*>(state.data(*entry));
      return {values, values + entry->size / sizeof(float)};
    };
    std::vector<std::vector<float>> first, second;
    for (const auto& parameter : program_.parameters()) {
      first.push_back(floats(kFirst + parameter.name, parameter.count));
      second.push_back(floats(kSecond + parameter.name, parameter.count));
    }
    if (fits) optimizer_.restore(steps, std::move(first), std::move(second));
    return fits;
  }

 private:
  Program& program_;
  MeanGradients gradients_;
  Optimizer optimizer_;
};

}  // namespace

std::unique_ptr<Stepper> Stepper::make(Program& program, BatchLoader& batches, const Settings& settings,
                                       const UpdateChoice& choice) {
  if (choice.in_graph) return std::make_unique<StepperInGraph>(program, batches, settings);
  return std::make_unique<StepperOutside>(program, batches, settings);
}

}  // namespace edgetrain
