// Reads parameters and gradients from stdin, takes the steps, writes the parameters to stdout; the tests
// compare them with torch.optim. Arguments: STEPS COUNT, then settings as FLAG VALUE. Input: COUNT float32
// parameters, then STEPS * COUNT float32 gradients.

#include <cstdio>
#include <cstdlib>
#include <string>

#include "edgetrain/optimizer.h"
#include "edgetrain/schedule.h"

namespace {

constexpr uint64_t kStepsPerEpoch = 10;

bool set(edgetrain::Settings& settings, const std::string& flag, const char* value) {
  for (const auto& setting : edgetrain::all_settings()) {
    if (flag == setting.flag) return settings.set(setting, value).ok();
  }
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  edgetrain::Settings settings;
  for (int i = 3; i + 1 < argc; i += 2) {
    if (!set(settings, argv[i], argv[i + 1])) return 2;
  }
  const edgetrain::OptimizerSettings chosen(settings);
  const edgetrain::ScheduleSettings schedule(settings);
  const size_t steps = std::strtoull(argv[1], nullptr, 10), count = std::strtoull(argv[2], nullptr, 10);
  std::vector<float> values(count), gradients(count);
  if (std::fread(values.data(), sizeof(float), count, stdin) != count) return 3;
  edgetrain::Optimizer optimizer(chosen);
  // Two tensors: clipping must see the norm of both together.
  const size_t half = count / 2;
  const std::vector<edgetrain::Parameter> parameters = {
      {"a", values.data(), gradients.data(), half, {}},
      {"b", values.data() + half, gradients.data() + half, count - half, {}}};
  for (size_t step = 0; step < steps; ++step) {
    if (std::fread(gradients.data(), sizeof(float), count, stdin) != count) return 3;
    optimizer.step(parameters, edgetrain::learning_rate(schedule, chosen.lr, step, steps, kStepsPerEpoch));
  }
  return std::fwrite(values.data(), sizeof(float), count, stdout) == count ? 0 : 1;
}
