#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace edgetrain {

/// A figure made of sums that `train` and `evaluate` return, added up over batches.
struct Metric {
  /// mean: top / bottom. exp_mean: exp(top / bottom). mean_of_ratios: the mean of top[i] / bottom[i] over all
  /// i whose bottom is not 0.
  enum class Kind { kMean, kExpMean, kMeanOfRatios };
  std::string name;
  Kind kind = Kind::kMean;
  std::string top, bottom;
  bool is_share = false;  ///< shown in percent
  bool higher_is_better = false;
};

/// By name; one number, or one per class.
using Sums = std::map<std::string, std::vector<double>>;

/// A metric's value. None where it was not computed; not finite where it can't be.
struct Figure {
  std::string name;
  std::optional<double> value;
};
using Figures = std::vector<Figure>;

/// Sums over batches.
struct Meter {
  Sums sums;
  uint64_t samples = 0;

  void add(const Sums& more, uint64_t size);
  /// NaN before the first batch.
  double figure(const Metric& metric) const;
  Figures figures(const std::vector<Metric>& metrics) const;
};

/// The figures of metrics that were not computed.
Figures no_figures(const std::vector<Metric>& metrics);

/// One epoch; epoch 0 is the state before training. The first figure is the loss. Times are in seconds.
struct EpochRecord {
  uint64_t epoch = 0;
  Figures train, val;
  std::optional<double> train_time_s, train_time_per_sample_s, val_time_s, val_time_per_sample_s;
  uint64_t steps = 0;
  std::optional<double> learning_rate;
};

/// A JSON object, field by field as history.json has it.
std::string epoch_json(const EpochRecord& record);

}  // namespace edgetrain
