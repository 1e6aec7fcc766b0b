#include "parts.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace edgetrain {
namespace {

using executorch::extension::TensorPtr;

/// Samples `first` to `first + count` - 1 of tensors whose dimension 0 is the batch.
std::vector<TensorPtr> cut(const std::vector<TensorPtr>& tensors, size_t first, size_t count) {
  std::vector<TensorPtr> parts;
  for (const auto& whole : tensors) {
    std::vector<executorch::aten::SizesType> sizes(whole->sizes().begin(), whole->sizes().end());
    const size_t bytes = whole->nbytes() / static_cast<size_t>(sizes[0]);
    sizes[0] = static_cast<executorch::aten::SizesType>(count);
    auto* data = static_cast<uint8_t*>(whole->mutable_data_ptr()) + first * bytes;
    parts.push_back(executorch::extension::from_blob(data, std::move(sizes), whole->scalar_type()));
  }
  return parts;
}

}  // namespace

Status for_each_part(const Contract& contract, const Batch& batch,
                     const std::function<Status(const Batch&)>& run) {
  if (!contract.splits_batches || batch.size <= contract.most_batch) return run(batch);
  for (size_t first = 0; first < batch.size; first += contract.most_batch) {
    const size_t count = std::min(contract.most_batch, batch.size - first);
    EDGETRAIN_CHECK(run({cut(batch.inputs, first, count), cut(batch.targets, first, count), count,
                         cut(batch.features, first, count)}));
  }
  return {};
}

}  // namespace edgetrain
