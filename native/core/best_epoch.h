#pragma once

#include <optional>
#include <string>
#include <vector>

#include "edgetrain/metrics.h"
#include "edgetrain/result.h"
#include "edgetrain/settings.h"

namespace edgetrain {

/// Tells which epoch of a run is best, and when no better one is waited for.
class BestEpoch {
 public:
  /// @param validated whether there are samples to validate with
  static Result<BestEpoch> make(const Settings& settings, const std::vector<Metric>& metrics, bool validated);

  /// Whether the best epoch's weights are to be kept.
  bool keeps() const { return keeps_; }
  /// Whether an epoch is better than the one that is best so far; both are JSON objects, as a run's record
  /// has them. One that was not validated is not.
  bool better(const std::string& epoch, const std::string& best) const;
  /// Whether an epoch can be the best at all.
  bool counts(const std::string& epoch) const;
  /// Whether as many epochs as one has patience for were validated after the best.
  bool out_of_patience(const std::vector<std::string>& epochs, std::optional<uint64_t> best) const;

 private:
  bool wanted_ = false, keeps_ = false;
  std::optional<uint64_t> patience_;
  std::vector<Metric> deciding_;  // the most important first
};

}  // namespace edgetrain
