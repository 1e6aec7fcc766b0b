// Updates of parameters. An element's result does not depend on the number of threads.
#include "functions.h"
#include "loops.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

void sgd(const Sgd& s, const float* all_gradients, int64_t count, float* all_values, float* all_velocities) {
  over(count, [=](int64_t begin, int64_t end) {
    const float* __restrict gradient = all_gradients;
    float* __restrict value = all_values;
    float* __restrict velocity = all_velocities;
    if (velocity == nullptr) {
      for (int64_t i = begin; i < end; ++i) value[i] -= s.rate * (gradient[i] * s.scale + s.decay * value[i]);
      return;
    }
    for (int64_t i = begin; i < end; ++i) {
      const float change = gradient[i] * s.scale + s.decay * value[i];
      velocity[i] = s.kept * velocity[i] + s.fresh * change;
      value[i] -= s.rate * (s.change_part * change + s.momentum_part * velocity[i]);
    }
  });
}

void adam(const Adam& a, const float* all_gradients, int64_t count, float* all_values, float* means,
          float* squares) {
  over(count, [=](int64_t begin, int64_t end) {
    const float* __restrict gradient = all_gradients;
    float* __restrict value = all_values;
    float* __restrict mean = means;
    float* __restrict square = squares;
    for (int64_t i = begin; i < end; ++i) {
      const float start = value[i] * a.shrink;
      const float change = gradient[i] * a.scale + a.decay * start;
      mean[i] += a.fresh1 * (change - mean[i]);
      square[i] = a.beta2 * square[i] + a.fresh2 * change * change;
      value[i] = start - a.size * mean[i] / (__builtin_sqrtf(square[i]) / a.root + a.eps);
    }
  });
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
