#include "edgetrain/metrics.h"

#include <cmath>
#include <limits>

#include "edgetrain/json.h"

namespace edgetrain {

void Meter::add(const Sums& more, uint64_t size) {
  samples += size;
  for (const auto& [name, values] : more) {
    auto& sum = sums[name];
    sum.resize(values.size());
    for (size_t i = 0; i < values.size(); ++i) sum[i] += values[i];
  }
}

double Meter::figure(const Metric& metric) const {
  const auto top = sums.find(metric.top), bottom = sums.find(metric.bottom);
  double total = 0;
  size_t count = 0;
  if (top != sums.end() && bottom != sums.end() && top->second.size() == bottom->second.size()) {
    for (size_t i = 0; i < top->second.size(); ++i) {
      if (bottom->second[i] == 0) continue;
      total += top->second[i] / bottom->second[i];
      ++count;
    }
  }
  if (count == 0) return std::numeric_limits<double>::quiet_NaN();
  const double mean = total / static_cast<double>(count);
  return metric.kind == Metric::Kind::kExpMean ? std::exp(mean) : mean;
}

Figures Meter::figures(const std::vector<Metric>& metrics) const {
  Figures figures;
  for (const auto& metric : metrics) figures.push_back({metric.name, figure(metric)});
  return figures;
}

Figures no_figures(const std::vector<Metric>& metrics) {
  Figures figures;
  for (const auto& metric : metrics) figures.push_back({metric.name, std::nullopt});
  return figures;
}

std::string epoch_json(const EpochRecord& record) {
  std::string text = "{\"epoch\": " + std::to_string(record.epoch);
  const auto add = [&text](const std::string& name, const std::optional<double>& value) {
    text += ", " + json_quoted(name) + ": " + (value ? json_number(*value) : "null");
  };
  for (const auto& figure : record.train) add("train_" + figure.name, figure.value);
  for (const auto& figure : record.val) add("val_" + figure.name, figure.value);
  add("train_time_s", record.train_time_s);
  add("train_time_per_sample_s", record.train_time_per_sample_s);
  add("val_time_s", record.val_time_s);
  add("val_time_per_sample_s", record.val_time_per_sample_s);
  text += ", \"steps\": " + std::to_string(record.steps);
  add("learning_rate", record.learning_rate);
  return text + "}";
}

}  // namespace edgetrain
