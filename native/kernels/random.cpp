#include "random.h"

#include "compute.h"
#include "dropout.h"

namespace edgetrain::kernels {
namespace {

template <const char* kName>
void run(KernelRuntimeContext& context, Stack stack) {
  Call call(context, kName);
  call.begin();
  const auto size = stack[0]->toIntList();
  const auto& out = stack[1]->toTensor();
  if (!is_dense(out) || !resize(out, {size.begin(), size.end()})) {
    return context.fail(Error::InvalidArgument);
  }
  const auto& fill = kName == kRand ? compute::uniform : compute::normal;
  fill(next_draw(), out.numel(), out.mutable_data_ptr<float>());
}

}  // namespace

std::vector<Kernel> random_kernels() {
  std::vector<Kernel> kernels;
  if constexpr (is_chosen(kRand)) kernels.emplace_back(kRand, run<kRand>);
  if constexpr (is_chosen(kRandn)) kernels.emplace_back(kRandn, run<kRandn>);
  return kernels;
}

}  // namespace edgetrain::kernels
