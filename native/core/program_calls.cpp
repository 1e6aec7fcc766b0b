// Calls of a program's methods.
#include <algorithm>
#include <cmath>

#include "../kernels/dropout.h"
#include "../kernels/stock.h"
#include "edgetrain/program.h"
#include "runtime_failure.h"

namespace edgetrain {

using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::extension::TensorPtr;
using executorch::runtime::EValue;

namespace {

/// A scalar or vector among outputs; empty where there is none of numbers.
std::vector<double> numbers(const std::vector<EValue>& outputs, size_t index) {
  if (index >= outputs.size() || !outputs[index].isTensor()) return {};
  const Tensor& tensor = outputs[index].toTensor();
  const auto count = static_cast<size_t>(tensor.numel());
  if (tensor.scalar_type() == ScalarType::Float) {
    const float* values = tensor.const_data_ptr<float>();
    return {values, values + count};
  }
  if (tensor.scalar_type() != ScalarType::Long) return {};
  const int64_t* values = tensor.const_data_ptr<int64_t>();
  return {values, values + count};
}

}  // namespace

Result<Program::Values> Program::run(const Method* method, const Batch& batch, const Hyperparameters& told) {
  if (method == nullptr) return bad_usage("the program was loaded for other uses; open it for this one");
  const bool takes_samples = !method->taken(Role::kInput).empty();
  if (takes_samples && (batch.size < contract_.least_batch || batch.size > contract_.most_batch)) {
    return bad_usage({"the program takes batches of ", std::string(contract_.fixed_batch() ? "" : "1 to "),
                      contract_.most_batch, " samples, not ", batch.size});
  }
  Values inputs;
  std::vector<float> numbers(method->inputs.size());  // of the scalars
  std::vector<TensorPtr> scalars, made;
  const bool behind = backbone_ != nullptr && method != backbone_ && takes_samples;
  if (behind && batch.features.empty()) {
    EDGETRAIN_TAKE(made, features(batch));
  }
  const auto& known = batch.features.empty() ? made : batch.features;
  size_t input = 0, target = 0;
  for (const Argument& argument : method->inputs) {
    if (const auto number = told.find(argument.name);
        argument.role == Role::kHyperparameter && number != told.end()) {
      float& value = numbers[scalars.size()];
      value = static_cast<float>(number->second);
      scalars.push_back(executorch::extension::from_blob(&value, {}, ScalarType::Float));
      inputs.emplace_back(*scalars.back());
      continue;
    }
    if (behind && argument.role == Role::kInput) {
      const Argument* feature = backbone_->output(argument.name);
      if (feature == nullptr)
        return bad_input({"method ", method->name, " takes ", argument.name, ", which nothing makes"});
      inputs.emplace_back(*known[feature->index]);
      continue;
    }
    const bool is_target = argument.role == Role::kTarget;
    const auto& from = is_target ? batch.targets : batch.inputs;
    size_t& at = is_target ? target : input;
    if ((!is_target && argument.role != Role::kInput) || at >= from.size()) {
      return bad_input({"method ", method->name, " takes ", argument.name, ", which is unknown here"});
    }
    inputs.emplace_back(*from[at++]);
  }
  // Methods for evaluation have no dropout of their own; in upstream's programs that is the same method.
  const bool training = method != evaluate_ && method != predict_ && method != backbone_;
  const ProfiledBatch profiled(profiler_, training);
  draws_->enabled = training;
  const kernels::DropoutScope dropout(*draws_);
  auto outputs = module_->execute(method->name, inputs);
  if (!outputs.ok()) {
    if (const auto& problem = kernels::stock_problem(); !problem.empty()) return bad_input(problem);
    const std::string samples = takes_samples ? " with " + std::to_string(batch.size) + " samples" : "";
    return runtime_failure(Exit::kFailed, "ExecuTorch failed in method " + method->name + samples,
                           outputs.error());
  }
  return std::move(*outputs);
}

Result<Outcome> Program::outcome(const Method& method, const Batch& batch, const Values& outputs) {
  Outcome outcome{std::nan(""), {}};
  for (const Argument& argument : method.outputs) {
    if (argument.role != Role::kLoss && argument.role != Role::kMetric) continue;
    const auto values = numbers(outputs, argument.index);
    if (values.empty()) return bad_input({"method ", method.name, " does not return ", argument.name});
    if (argument.role == Role::kLoss) {
      outcome.loss = values[0];
    } else {
      outcome.sums[argument.name] = values;
    }
  }
  if (outcome.sums.empty()) {
    // A program that only tells its mean loss.
    const auto size = static_cast<double>(batch.size);
    outcome.sums = {{contract_.metrics[0].top, {outcome.loss * size}}, {contract_.metrics[0].bottom, {size}}};
  }
  return outcome;
}

void Program::begin_step(uint64_t seed, uint64_t step) { *draws_ = {seed, step}; }

Result<std::vector<TensorPtr>> Program::features(const Batch& batch) {
  EDGETRAIN_TAKE(const Values outputs, run(backbone_, batch));
  std::vector<TensorPtr> found;
  for (const Argument& argument : backbone_->outputs) {
    const EValue& value = outputs[argument.index];
    if (!value.isTensor()) return bad_input({"method ", backbone_->name, " does not return ", argument.name});
    // The next method computes in the memory that this one did.
    found.push_back(executorch::extension::clone_tensor_ptr(value.toTensor()));
  }
  return found;
}

Result<Outcome> Program::train(const Batch& batch, const Hyperparameters& told) {
  EDGETRAIN_TAKE(const Values outputs, run(train_, batch, told));
  return outcome(*train_, batch, outputs);
}

Status Program::update(const Hyperparameters& told) { return run(update_, {}, told).status(); }

Result<Outcome> Program::gradients(const Batch& batch) {
  EDGETRAIN_TAKE(const Values outputs, run(gradients_, batch));
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor& gradient = outputs[slopes_[i]->index].toTensor();
    Parameter& parameter = parameters_[i];
    if (static_cast<size_t>(gradient.numel()) != parameter.count) {
      return bad_input({"the gradient of ", parameter.name, " has another size than the parameter"});
    }
    parameter.gradient = gradient.const_data_ptr<float>();
  }
  return outcome(*gradients_, batch, outputs);
}

Result<Outcome> Program::evaluate(const Batch& batch) {
  EDGETRAIN_TAKE(const Values outputs, run(evaluate_, batch));
  return outcome(*evaluate_, batch, outputs);
}

Result<std::vector<Output>> Program::predict(const Batch& batch) {
  EDGETRAIN_TAKE(const Values outputs, run(predict_, batch));
  std::vector<Output> found;
  for (const Role role : {Role::kOutput, Role::kPrediction}) {
    for (const Argument* argument : predict_->given(role)) {
      const EValue& value = outputs[argument->index];
      if (!value.isTensor())
        return bad_input({"method ", predict_->name, " does not return ", argument->name});
      found.push_back({argument, value.toTensor()});
    }
  }
  return found;
}

Status Program::try_out() {
  Batch batch;
  batch.size = contract_.most_batch;
  const auto zeros = [&batch](const Argument* argument) {
    std::vector<executorch::aten::SizesType> sizes;
    if (argument->has_batch) sizes.push_back(static_cast<executorch::aten::SizesType>(batch.size));
    sizes.insert(sizes.end(), argument->shape.begin(), argument->shape.end());
    return executorch::extension::zeros(sizes, static_cast<ScalarType>(argument->dtype));
  };
  for (const Argument* argument : contract_.inputs()) batch.inputs.push_back(zeros(argument));
  for (const Argument* argument : contract_.targets()) batch.targets.push_back(zeros(argument));
  // With a rate of 0, weights stay what they are.
  const Hyperparameters told = {{"learning_rate", 0},    {"gradient_share", 1}, {"bias_correction1", 1},
                                {"bias_correction2", 1}, {"keep", 0},           {"divisor", 1}};
  if (gradients_ != nullptr) EDGETRAIN_CHECK(gradients(batch));
  if (train_ != nullptr) EDGETRAIN_CHECK(train(batch, told));
  if (update_ != nullptr) EDGETRAIN_CHECK(update(told));
  if (evaluate_ != nullptr) EDGETRAIN_CHECK(evaluate(batch));
  if (predict_ != nullptr) EDGETRAIN_CHECK(predict(batch));
  return {};
}

std::vector<std::string> Program::stock_operators() const {
  std::vector<std::string> all = stock_operators_;
  const auto& uncovered = kernels::uncovered_operators();
  all.insert(all.end(), uncovered.begin(), uncovered.end());
  return all;
}

}  // namespace edgetrain
