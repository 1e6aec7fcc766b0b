#include "edgetrain/schedule.h"

#include <algorithm>
#include <cmath>

namespace edgetrain {

ScheduleSettings::ScheduleSettings(const Settings& settings)
    : name(settings.text("schedule", "name")),
      warmup_steps(settings.whole("schedule", "warmup_steps")),
      step_epochs(settings.whole("schedule", "step_epochs")),
      gamma(settings.real("schedule", "gamma")),
      final_ratio(settings.real("schedule", "final_ratio")) {}

double learning_rate(const ScheduleSettings& schedule, double peak, uint64_t step, uint64_t total_steps,
                     uint64_t steps_per_epoch) {
  if (step < schedule.warmup_steps) {
    return peak * static_cast<double>(step + 1) / static_cast<double>(schedule.warmup_steps);
  }
  if (schedule.name == "step") {
    return peak *
           std::pow(schedule.gamma, static_cast<double>(step / steps_per_epoch / schedule.step_epochs));
  }
  if (schedule.name == "cosine") {
    constexpr double kPi = 3.14159265358979323846;
    const uint64_t length = total_steps > schedule.warmup_steps ? total_steps - schedule.warmup_steps : 1;
    const double done = static_cast<double>(step - schedule.warmup_steps) / static_cast<double>(length);
    const double share = (1 + std::cos(kPi * std::min(1.0, done))) / 2;
    return peak * (schedule.final_ratio + (1 - schedule.final_ratio) * share);
  }
  return peak;
}

}  // namespace edgetrain
