#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "edgetrain/program.h"
#include "edgetrain/result.h"
#include "edgetrain/settings.h"

namespace edgetrain {

/// Values with torch.optim's meaning of each.
struct OptimizerSettings {
  std::string name;  ///< sgd, adam, adamw
  double lr, momentum, dampening;
  bool nesterov;
  double weight_decay, beta1, beta2, eps;
  /// Parameters whose names match a pattern (as in a shell: *, ?, [..]) have a learning rate of their own;
  /// the first pattern that fits counts.
  Settings::Rates groups;
  double clip_norm;  ///< largest norm of all gradients together; 0: no clipping

  explicit OptimizerSettings(const Settings& settings);
};

/// Updates parameters in place, as torch.optim's SGD, Adam and AdamW do.
class Optimizer {
 public:
  explicit Optimizer(OptimizerSettings settings) : settings_(std::move(settings)) {}

  /// One step with the learning rate `lr`. The parameters must be the same ones in every call.
  void step(const std::vector<Parameter>& parameters, double lr);

  /// What a resumed run needs: the number of steps, and up to two buffers per parameter (empty before the
  /// first step, and where the optimizer keeps none).
  uint64_t steps() const { return steps_; }
  const std::vector<std::vector<float>>& first() const { return first_; }
  const std::vector<std::vector<float>>& second() const { return second_; }
  void restore(uint64_t steps, std::vector<std::vector<float>> first, std::vector<std::vector<float>> second);

 private:
  /// The learning rate of a parameter when that of most is `lr`.
  double rate_of(const Parameter& parameter, double lr) const;
  void sgd(const Parameter& parameter, size_t index, double lr, float scale);
  void adam(const Parameter& parameter, size_t index, double lr, float scale);

  OptimizerSettings settings_;
  uint64_t steps_ = 0;
  std::vector<std::vector<float>> first_, second_;
};

/// A pattern that fits none of the trained parameters is a slip of the keyboard, and would train with the
/// wrong learning rate.
Status check_groups(const Settings::Rates& groups, const std::vector<std::string>& parameters);

/// Euclidean norm of all gradients together.
double gradient_norm(const std::vector<Parameter>& parameters);

}  // namespace edgetrain
