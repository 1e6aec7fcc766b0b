#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <utility>

#include "edgetrain/contract.h"
#include "edgetrain/observer.h"

namespace edgetrain {

/// Shows a run: JSON lines for programs on stdout, lines for people on stderr.
class Progress final : public Observer {
 public:
  Progress() = default;
  /// @param epochs of the run
  /// @param steps whether each step has a line, too
  Progress(const Contract& contract, uint64_t epochs, bool steps) : epochs_(epochs), steps_(steps) {
    for (const auto& metric : contract.metrics) {
      if (metric.is_share) shares_.insert(metric.name);
    }
  }

  Status on_epoch(const EpochRecord& record) override;
  Status on_step(const StepRecord& record) override;
  void on_note(const std::string& text) override;
  void on_progress(const std::string& text) override;

 private:
  uint64_t epochs_ = 0;
  bool steps_ = false;
  std::set<std::string> shares_;  // metrics shown in percent
};

}  // namespace edgetrain
