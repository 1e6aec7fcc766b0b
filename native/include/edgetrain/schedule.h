#pragma once

#include <cstdint>
#include <string>

namespace edgetrain {

/// The learning rate as a function of the step, as `edgetrain finetune` understands it.
struct ScheduleSettings {
  std::string name = "constant";  ///< constant, step, cosine
  uint64_t warmup_steps = 0;      ///< steps over which the learning rate rises linearly to its peak
  uint64_t step_epochs = 1;       ///< epochs between two drops (step)
  double gamma = 0.1;             ///< factor of each drop (step)
  double final_ratio = 0;         ///< learning rate at the end, as a share of the peak (cosine)
};

/// @param step 0 for the first step
/// @param total_steps steps of the whole run
double learning_rate(const ScheduleSettings& schedule, double peak, uint64_t step, uint64_t total_steps,
                     uint64_t steps_per_epoch);

}  // namespace edgetrain
