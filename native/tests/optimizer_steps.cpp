// Reads parameters and gradients from stdin, takes the steps, writes the parameters to stdout; the tests
// compare them with torch.optim. Arguments: optimizer lr momentum dampening nesterov weight_decay beta1 beta2
// eps clip_norm schedule warmup gamma steps count. Input: count float32 parameters, then steps * count
// float32 gradients.

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "edgetrain/optimizer.h"
#include "edgetrain/schedule.h"

int main(int argc, char** argv) {
  if (argc != 16) return 2;
  edgetrain::OptimizerSettings settings;
  settings.name = argv[1];
  settings.lr = std::atof(argv[2]);
  settings.momentum = std::atof(argv[3]);
  settings.dampening = std::atof(argv[4]);
  settings.nesterov = std::atoi(argv[5]) != 0;
  settings.weight_decay = std::atof(argv[6]);
  settings.beta1 = std::atof(argv[7]);
  settings.beta2 = std::atof(argv[8]);
  settings.eps = std::atof(argv[9]);
  settings.clip_norm = std::atof(argv[10]);
  edgetrain::ScheduleSettings schedule;
  schedule.name = argv[11];
  schedule.warmup_steps = std::strtoull(argv[12], nullptr, 10);
  schedule.gamma = std::atof(argv[13]);
  const size_t steps = std::strtoull(argv[14], nullptr, 10), count = std::strtoull(argv[15], nullptr, 10);
  std::vector<float> values(count), gradients(count);
  if (std::fread(values.data(), sizeof(float), count, stdin) != count) return 3;
  edgetrain::Optimizer optimizer(settings);
  // Two tensors: clipping must see the norm of both together.
  const size_t half = count / 2;
  const std::vector<edgetrain::Parameter> parameters = {
      {"a", values.data(), gradients.data(), half, {}},
      {"b", values.data() + half, gradients.data() + half, count - half, {}}};
  for (size_t step = 0; step < steps; ++step) {
    if (std::fread(gradients.data(), sizeof(float), count, stdin) != count) return 3;
    optimizer.step(parameters, edgetrain::learning_rate(schedule, settings.lr, step, steps, 10));
  }
  return std::fwrite(values.data(), sizeof(float), count, stdout) == count ? 0 : 1;
}
