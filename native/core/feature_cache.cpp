#include "feature_cache.h"

#include <executorch/runtime/core/exec_aten/util/scalar_type_util.h>

#include <algorithm>
#include <cstring>

#include "parts.h"

namespace edgetrain {
namespace {

using executorch::aten::ScalarType;
using executorch::aten::SizesType;

size_t sample_bytes(const Argument& argument) {
  size_t bytes = executorch::runtime::elementSize(static_cast<ScalarType>(argument.dtype));
  for (const int64_t length : argument.shape) bytes *= static_cast<size_t>(length);
  return bytes;
}

}  // namespace

FeatureCache::FeatureCache(Program& program, size_t samples) : program_(program), known_(samples) {
  for (const Argument& argument : program.contract().backbone()->outputs) {
    const size_t bytes = sample_bytes(argument);
    columns_.push_back({&argument, bytes, std::vector<uint8_t>(samples * bytes), {}});
  }
}

size_t FeatureCache::bytes(const Contract& contract, size_t samples) {
  if (contract.backbone() == nullptr) return 0;
  size_t sum = 0;
  for (const Argument& argument : contract.backbone()->outputs) sum += samples * sample_bytes(argument);
  return sum;
}

bool FeatureCache::knows(const std::vector<uint32_t>& rows) const {
  return std::all_of(rows.begin(), rows.end(), [this](uint32_t row) { return known_[row]; });
}

Status FeatureCache::learn(const Batch& batch, const std::vector<uint32_t>& rows) {
  size_t first = 0;
  EDGETRAIN_CHECK(for_each_part(program_.contract(), batch, [&](const Batch& part) -> Status {
    EDGETRAIN_TAKE(const auto features, program_.features(part));
    for (size_t c = 0; c < columns_.size(); ++c) {
      Column& column = columns_[c];
      const auto* from = static_cast<const uint8_t*>(features[c]->const_data_ptr());
      for (size_t i = 0; i < part.size; ++i) {
        std::memcpy(column.all.data() + rows[first + i] * column.sample_bytes, from + i * column.sample_bytes,
                    column.sample_bytes);
      }
    }
    first += part.size;
    return {};
  }));
  for (const uint32_t row : rows) known_[row] = true;
  return {};
}

std::vector<executorch::extension::TensorPtr> FeatureCache::features(const std::vector<uint32_t>& rows) {
  std::vector<executorch::extension::TensorPtr> tensors;
  for (Column& column : columns_) {
    column.batch.resize(rows.size() * column.sample_bytes);
    for (size_t i = 0; i < rows.size(); ++i) {
      std::memcpy(column.batch.data() + i * column.sample_bytes,
                  column.all.data() + rows[i] * column.sample_bytes, column.sample_bytes);
    }
    std::vector<SizesType> sizes = {static_cast<SizesType>(rows.size())};
    for (const int64_t length : column.argument->shape) sizes.push_back(static_cast<SizesType>(length));
    tensors.push_back(executorch::extension::from_blob(column.batch.data(), std::move(sizes),
                                                       static_cast<ScalarType>(column.argument->dtype)));
  }
  return tensors;
}

}  // namespace edgetrain
