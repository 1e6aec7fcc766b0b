#include "dropout.h"

#include <algorithm>

namespace edgetrain::kernels {
namespace {

thread_local Draws own;
thread_local Draws* current = &own;

void run(KernelRuntimeContext& context, Stack stack) {
  Call call(context, kDropout);
  call.begin();
  const auto& input = stack[0]->toTensor();
  const double p = stack[1]->to<double>();
  const bool train = stack[2]->isNone() || stack[2]->toBool();
  const auto out = stack[3]->toTensor(), mask = stack[4]->toTensor();
  const bool supported = input.scalar_type() == ScalarType::Float && out.scalar_type() == ScalarType::Float &&
                         mask.scalar_type() == ScalarType::Bool && p >= 0 && p <= 1;
  if (!supported || executorch::runtime::resize_tensor(out, input.sizes()) != Error::Ok ||
      executorch::runtime::resize_tensor(mask, input.sizes()) != Error::Ok) {
    return context.fail(Error::InvalidArgument);
  }
  const auto count = static_cast<int64_t>(input.numel());
  const float* x = input.const_data_ptr<float>();
  float* y = out.mutable_data_ptr<float>();
  bool* kept = mask.mutable_data_ptr<bool>();
  if (!current->enabled || !train || p == 0) {
    std::copy_n(x, count, y);
    std::fill_n(kept, count, true);
    return;
  }
  const auto chance = static_cast<float>(p);
  const float scale = p == 1 ? 0.0F : static_cast<float>(1.0 / (1.0 - p));
  compute::dropout({next_draw(), chance, scale}, x, count, y, kept);
}

}  // namespace

DropoutScope::DropoutScope(Draws& draws) : before_(current) { current = &draws; }

DropoutScope::~DropoutScope() { current = before_; }

Draw next_draw() { return {current->seed, current->step, current->call++}; }

std::vector<Kernel> dropout_kernels() {
  if constexpr (is_chosen(kDropout)) return {Kernel(kDropout, run)};
  return {};
}

}  // namespace edgetrain::kernels
