#include "edgetrain/dropout.h"

#include <executorch/runtime/core/exec_aten/util/tensor_util.h>
#include <executorch/runtime/kernel/kernel_runtime_context.h>

#include "../kernels/isa.h"
#include "edgetrain/kernel_table.h"

namespace edgetrain {
namespace {

struct State {
  bool enabled = true;
  uint64_t seed = 0;
  uint64_t step = 0;
  uint32_t in_step = 0;
};
State state;

}  // namespace

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> c, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = uint64_t{0xD2511F53} * c[0], second = uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<uint32_t>(second >> 32) ^ c[1] ^ key[0], static_cast<uint32_t>(second),
         static_cast<uint32_t>(first >> 32) ^ c[3] ^ key[1], static_cast<uint32_t>(first)};
    key = {key[0] + 0x9E3779B9U, key[1] + 0xBB67AE85U};
  }
  return c;
}

namespace dropout {

void enable(bool on) { state.enabled = on; }

void begin_step(uint64_t seed, uint64_t step) {
  state.seed = seed;
  state.step = step;
  state.in_step = 0;
}

}  // namespace dropout

void native_dropout_kernel(executorch::ET_RUNTIME_NAMESPACE::KernelRuntimeContext& context,
                           executorch::runtime::Span<executorch::runtime::EValue*> stack) {
  using executorch::aten::ScalarType;
  using executorch::runtime::Error;
  const KernelScope scope(context.internal_event_tracer(), "edgetrain_call_native_dropout.out");
  const auto& input = stack[0]->toTensor();
  const double p = stack[1]->to<double>();
  const bool train = stack[2]->isNone() || stack[2]->toBool();
  auto out = stack[3]->toTensor();
  auto mask = stack[4]->toTensor();
  const bool supported = input.scalar_type() == ScalarType::Float && out.scalar_type() == ScalarType::Float &&
                         mask.scalar_type() == ScalarType::Bool && p >= 0 && p <= 1;
  if (!supported || executorch::runtime::resize_tensor(out, input.sizes()) != Error::Ok ||
      executorch::runtime::resize_tensor(mask, input.sizes()) != Error::Ok) {
    context.fail(Error::InvalidArgument);
    return;
  }
  const auto count = static_cast<size_t>(input.numel());
  const float* x = input.const_data_ptr<float>();
  float* y = out.mutable_data_ptr<float>();
  bool* kept = mask.mutable_data_ptr<bool>();
  if (!state.enabled || !train || p == 0) {
    for (size_t i = 0; i < count; ++i) {
      y[i] = x[i];
      kept[i] = true;
    }
    return;
  }
  const auto chance = static_cast<float>(p);
  const float scale = p == 1 ? 0.0F : static_cast<float>(1.0 / (1.0 - p));
  kernels::compute().dropout({state.seed, state.step, state.in_step++, chance, scale}, x,
                             static_cast<int64_t>(count), y, kept);
}

}  // namespace edgetrain
