#pragma once

#include <cstdint>
#include <string>

#include "edgetrain/settings.h"

namespace edgetrain {

/// The learning rate as a function of the step, as `edgetrain finetune` understands it.
struct ScheduleSettings {
  std::string name;       ///< constant, step, cosine
  uint64_t warmup_steps;  ///< steps over which the learning rate rises linearly to its peak
  uint64_t step_epochs;   ///< epochs between two drops (step)
  double gamma;           ///< factor of each drop (step)
  double final_ratio;     ///< learning rate at the end, as a share of the peak (cosine)

  explicit ScheduleSettings(const Settings& settings);
};

/// @param step 0 for the first step
/// @param total_steps steps of the whole run
double learning_rate(const ScheduleSettings& schedule, double peak, uint64_t step, uint64_t total_steps,
                     uint64_t steps_per_epoch);

}  // namespace edgetrain
