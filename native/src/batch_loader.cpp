#include "edgetrain/batch_loader.h"

#include <algorithm>
#include <numeric>

#include "edgetrain/shuffle.h"

namespace edgetrain {
namespace {

using executorch::aten::ScalarType;
using executorch::aten::SizesType;
using executorch::extension::from_blob;

std::vector<SizesType> batch_sizes(size_t count, const std::vector<int64_t>& shape) {
  std::vector<SizesType> sizes = {static_cast<SizesType>(count)};
  for (const int64_t length : shape) sizes.push_back(static_cast<SizesType>(length));
  return sizes;
}

}  // namespace

BatchLoader::BatchLoader(const Dataset& dataset, const Program& program, Preprocessing preprocessing,
                         size_t batch_size, bool shuffle, uint64_t seed, bool drop_last)
    : dataset_(dataset),
      preprocessing_(std::move(preprocessing)),
      batch_size_(batch_size),
      shuffle_(shuffle),
      seed_(seed),
      drop_last_(drop_last),
      ids_(program.inputs().dtype == ScalarType::Long) {
  const size_t inputs = batch_size * dataset.sample_items();
  if (ids_) {
    id_inputs_.resize(inputs);
  } else {
    inputs_.resize(inputs);
  }
  if (dataset.has_classes()) {
    class_targets_.resize(batch_size);
  } else {
    float_targets_.resize(batch_size * dataset.target_items());
  }
  begin_epoch(0);
}

size_t BatchLoader::count() const {
  return (dataset_.size() + (drop_last_ ? 0 : batch_size_ - 1)) / batch_size_;
}

Status BatchLoader::augment(const Augmentation& augmentation) {
  const auto& shape = dataset_.sample_shape();
  const bool images = !ids_ && shape.size() == 3;
  if (augmentation.any() && !images) return bad_usage("--flip and --crop-padding need images [C, H, W]");
  if (augmentation.any() && augmentation.crop_padding >= std::min(shape[1], shape[2])) {
    return bad_usage("--crop-padding " + std::to_string(augmentation.crop_padding) +
                     " would move images out of sight");
  }
  augmentation_ = augmentation;
  return {};
}

void BatchLoader::begin_epoch(uint64_t epoch) {
  epoch_ = epoch;
  if (shuffle_) {
    order_ = shuffled_order(dataset_.size(), seed_, epoch);
  } else if (order_.empty()) {
    order_.resize(dataset_.size());
    std::iota(order_.begin(), order_.end(), 0U);
  }
}

Batch BatchLoader::batch(size_t index) {
  Batch batch;
  batch.size = std::min(batch_size_, dataset_.size() - index * batch_size_);
  const size_t inputs = dataset_.sample_items(), targets = dataset_.target_items();
  std::vector<Placement> places;
  if (augmentation_.any()) places = draw_placements(augmentation_, batch.size, seed_, epoch_, index);
  for (size_t i = 0; i < batch.size; ++i) {
    const size_t sample = row(index, i);
    if (ids_) {
      dataset_.copy_input(sample, id_inputs_.data() + i * inputs);
    } else if (augmentation_.any()) {
      dataset_.copy_image(sample, preprocessing_, places[i], scratch_, inputs_.data() + i * inputs);
    } else {
      dataset_.copy_input(sample, preprocessing_, inputs_.data() + i * inputs);
    }
    if (dataset_.has_classes()) {
      class_targets_[i] = dataset_.target_class(sample);
    } else {
      dataset_.copy_target(sample, float_targets_.data() + i * targets);
    }
  }
  const auto input_sizes = batch_sizes(batch.size, dataset_.sample_shape());
  batch.inputs = ids_ ? from_blob(id_inputs_.data(), input_sizes, ScalarType::Long)
                      : from_blob(inputs_.data(), input_sizes, ScalarType::Float);
  batch.targets = dataset_.has_classes()
                      ? from_blob(class_targets_.data(), batch_sizes(batch.size, {}), ScalarType::Long)
                      : from_blob(float_targets_.data(), batch_sizes(batch.size, dataset_.target_shape()),
                                  ScalarType::Float);
  return batch;
}

}  // namespace edgetrain
