#include "edgetrain/optimizer.h"

#include <fnmatch.h>

#include <algorithm>
#include <cmath>

#include "../kernels/compute.h"

namespace edgetrain {

OptimizerSettings::OptimizerSettings(const Settings& settings)
    : name(settings.text("optimizer", "name")),
      lr(settings.real("optimizer", "lr")),
      momentum(settings.real("optimizer", "momentum")),
      dampening(settings.real("optimizer", "dampening")),
      nesterov(settings.on("optimizer", "nesterov")),
      weight_decay(settings.real("optimizer", "weight_decay")),
      beta1(settings.real("optimizer", "beta1")),
      beta2(settings.real("optimizer", "beta2")),
      eps(settings.real("optimizer", "eps")),
      groups(settings.rates()),
      clip_norm(settings.real("optimizer", "clip_norm")) {}

double gradient_norm(const std::vector<Parameter>& parameters) {
  double squares = 0;
  for (const auto& parameter : parameters) {
    for (size_t i = 0; i < parameter.count; ++i)
      squares += double{parameter.gradient[i]} * parameter.gradient[i];
  }
  return std::sqrt(squares);
}

Status check_groups(const Settings::Rates& groups, const std::vector<std::string>& parameters) {
  for (const auto& [pattern, lr] : groups) {
    const bool fits =
        std::any_of(parameters.begin(), parameters.end(), [&pattern = pattern](const std::string& name) {
          return ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
        });
    if (!fits) return bad_usage({"--group ", pattern, " fits no trainable parameter; info lists them"});
  }
  return {};
}

void Optimizer::step(const std::vector<Parameter>& parameters, double lr) {
  first_.resize(parameters.size());
  second_.resize(parameters.size());
  float scale = 1;
  if (settings_.clip_norm > 0) {
    // torch.nn.utils.clip_grad_norm_: never enlarges, and 1e-6 keeps a zero gradient from dividing by zero.
    scale = static_cast<float>(std::min(1.0, settings_.clip_norm / (gradient_norm(parameters) + 1e-6)));
  }
  ++steps_;
  for (size_t i = 0; i < parameters.size(); ++i) {
    const double rate = rate_of(parameters[i], lr);
    if (settings_.name == "sgd") {
      sgd(parameters[i], i, rate, scale);
    } else {
      adam(parameters[i], i, rate, scale);
    }
  }
}

double Optimizer::rate_of(const Parameter& parameter, double lr) const {
  for (const auto& [pattern, peak] : settings_.groups) {
    // A schedule scales all groups alike.
    if (::fnmatch(pattern.c_str(), parameter.name.c_str(), 0) == 0) return lr * (peak / settings_.lr);
  }
  return lr;
}

void Optimizer::restore(uint64_t steps, std::vector<std::vector<float>> first,
                        std::vector<std::vector<float>> second) {
  steps_ = steps;
  first_ = std::move(first);
  second_ = std::move(second);
}

void Optimizer::sgd(const Parameter& parameter, size_t index, double lr, float scale) {
  kernels::Sgd step = {};
  step.rate = static_cast<float>(lr);
  step.decay = static_cast<float>(settings_.weight_decay);
  step.scale = scale;
  step.kept = static_cast<float>(settings_.momentum);
  step.fresh = static_cast<float>(1 - settings_.dampening);
  step.change_part = settings_.nesterov ? 1.0F : 0.0F;
  step.momentum_part = settings_.nesterov ? static_cast<float>(settings_.momentum) : 1.0F;
  float* velocity = nullptr;
  if (settings_.momentum != 0) {
    auto& buffer = first_[index];
    // The first step fills the momentum with the plain gradient: no dampening yet.
    if (buffer.empty()) {
      buffer.assign(parameter.count, 0.0F);
      step.kept = 0, step.fresh = 1;
    }
    velocity = buffer.data();
  }
  const auto count = static_cast<int64_t>(parameter.count);
  kernels::compute::sgd(step, parameter.gradient, count, parameter.value, velocity);
}

void Optimizer::adam(const Parameter& parameter, size_t index, double lr, float scale) {
  auto &first = first_[index], &second = second_[index];
  if (first.empty()) {
    first.assign(parameter.count, 0.0F);
    second.assign(parameter.count, 0.0F);
  }
  const auto steps = static_cast<double>(steps_);
  const double correction1 = 1 - std::pow(settings_.beta1, steps),
               correction2 = 1 - std::pow(settings_.beta2, steps);
  const bool decoupled = settings_.name == "adamw";
  kernels::Adam step = {};
  step.scale = scale;
  step.shrink = decoupled ? static_cast<float>(1 - lr * settings_.weight_decay) : 1.0F;
  step.decay = decoupled ? 0.0F : static_cast<float>(settings_.weight_decay);
  step.beta2 = static_cast<float>(settings_.beta2);
  step.fresh1 = static_cast<float>(1 - settings_.beta1);
  step.fresh2 = static_cast<float>(1 - settings_.beta2);
  step.size = static_cast<float>(lr / correction1);
  step.root = static_cast<float>(std::sqrt(correction2));
  step.eps = static_cast<float>(settings_.eps);
  const auto count = static_cast<int64_t>(parameter.count);
  kernels::compute::adam(step, parameter.gradient, count, parameter.value, first.data(), second.data());
}

}  // namespace edgetrain
