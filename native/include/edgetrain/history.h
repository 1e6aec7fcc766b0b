#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>

#include "edgetrain/result.h"

namespace edgetrain {

/// Loss and accuracy as means over samples.
struct Meter {
  double loss_sum = 0;
  double correct = 0;
  uint64_t samples = 0;
  bool has_accuracy = true;

  /// @param right right samples of the batch; negative for a regression
  void add(double loss, double right, uint64_t size);
  double loss() const;
  std::optional<double> accuracy() const;
};

/// One epoch, field by field as history.json has it; epoch 0 is the state before training.
struct EpochRecord {
  uint64_t epoch = 0;
  std::optional<double> train_loss, train_accuracy, val_loss, val_accuracy, train_time_s,
      train_time_per_sample_s, val_time_s, val_time_per_sample_s;
  uint64_t steps = 0;
  std::optional<double> learning_rate;
};

/// One JSON object on one line.
class JsonLine {
 public:
  explicit JsonLine(const std::string& event);
  JsonLine& add(const std::string& name, const std::string& text);
  JsonLine& add(const std::string& name, const char* text) { return add(name, std::string(text)); }
  JsonLine& add(const std::string& name, double value);
  JsonLine& add(const std::string& name, uint64_t value);
  JsonLine& add(const std::string& name, bool value);
  JsonLine& add(const std::string& name, const std::optional<double>& value);
  /// `json` as it stands.
  JsonLine& add_raw(const std::string& name, const std::string& json);
  /// Writes the line to stdout at once, so that a reader sees it while the run goes on.
  Status print() const;

 private:
  std::string text_;
};

JsonLine epoch_line(const EpochRecord& record);

}  // namespace edgetrain
