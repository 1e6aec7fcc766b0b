#include "edgetrain/optimizer.h"

#include <fnmatch.h>

#include <algorithm>
#include <cmath>

namespace edgetrain {

double gradient_norm(const std::vector<Parameter>& parameters) {
  double squares = 0;
  for (const auto& parameter : parameters) {
    for (size_t i = 0; i < parameter.count; ++i)
      squares += double{parameter.gradient[i]} * parameter.gradient[i];
  }
  return std::sqrt(squares);
}

Status check_groups(const OptimizerSettings& settings, const std::vector<Parameter>& parameters) {
  for (const auto& [pattern, lr] : settings.groups) {
    const bool fits =
        std::any_of(parameters.begin(), parameters.end(), [&pattern = pattern](const Parameter& p) {
          return ::fnmatch(pattern.c_str(), p.name.c_str(), 0) == 0;
        });
    if (!fits) return bad_usage("--group " + pattern + " fits no trainable parameter; info lists them");
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
  const auto rate = static_cast<float>(lr), decay = static_cast<float>(settings_.weight_decay);
  const auto momentum = static_cast<float>(settings_.momentum);
  const auto fresh = static_cast<float>(1 - settings_.dampening);
  float* __restrict value = parameter.value;
  const float* __restrict gradient = parameter.gradient;
  if (settings_.momentum == 0) {
    for (size_t i = 0; i < parameter.count; ++i) value[i] -= rate * (gradient[i] * scale + decay * value[i]);
    return;
  }
  auto& buffer = first_[index];
  // The first step fills the momentum with the plain gradient: no dampening yet.
  const bool first = buffer.empty();
  if (first) buffer.assign(parameter.count, 0.0F);
  float* __restrict velocity = buffer.data();
  for (size_t i = 0; i < parameter.count; ++i) {
    const float change = gradient[i] * scale + decay * value[i];
    velocity[i] = first ? change : momentum * velocity[i] + fresh * change;
    value[i] -= rate * (settings_.nesterov ? change + momentum * velocity[i] : velocity[i]);
  }
}

void Optimizer::adam(const Parameter& parameter, size_t index, double lr, float scale) {
  auto &first = first_[index], &second = second_[index];
  if (first.empty()) {
    first.assign(parameter.count, 0.0F);
    second.assign(parameter.count, 0.0F);
  }
  const auto step = static_cast<double>(steps_);
  const double correction1 = 1 - std::pow(settings_.beta1, step),
               correction2 = 1 - std::pow(settings_.beta2, step);
  const auto size = static_cast<float>(lr / correction1);
  const auto root = static_cast<float>(std::sqrt(correction2));
  const auto beta2 = static_cast<float>(settings_.beta2), eps = static_cast<float>(settings_.eps);
  const auto fresh1 = static_cast<float>(1 - settings_.beta1),
             fresh2 = static_cast<float>(1 - settings_.beta2);
  const bool decoupled = settings_.name == "adamw";
  const auto shrink = decoupled ? static_cast<float>(1 - lr * settings_.weight_decay) : 1.0F;
  const auto decay = decoupled ? 0.0F : static_cast<float>(settings_.weight_decay);
  float* __restrict value = parameter.value;
  const float* __restrict gradient = parameter.gradient;
  float* __restrict mean = first.data(), * __restrict square = second.data();
  for (size_t i = 0; i < parameter.count; ++i) {
    const float start = value[i] * shrink;
    const float change = gradient[i] * scale + decay * start;
    mean[i] += fresh1 * (change - mean[i]);
    square[i] = beta2 * square[i] + fresh2 * change * change;
    value[i] = start - size * mean[i] / (std::sqrt(square[i]) / root + eps);
  }
}

}  // namespace edgetrain
