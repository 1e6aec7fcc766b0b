#include "edgetrain/batch_loader.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>

#include "feature_cache.h"
#include "shuffle.h"

namespace edgetrain {
namespace {

using executorch::aten::ScalarType;
using executorch::aten::SizesType;

template <typename T>
void prepare(const T* from, size_t items, const Preprocessing& preprocessing, float* to) {
  const auto& [scale, mean, std] = preprocessing;
  // Channels are dimension 0 of a sample; one number serves all of them.
  const size_t channels = mean.size(), per_channel = items / channels;
  for (size_t c = 0; c < channels; ++c) {
    for (size_t i = c * per_channel; i < (c + 1) * per_channel; ++i)
      to[i] = (from[i] * scale - mean[c]) / std[c];
  }
}

/// Moves an image within scratch memory, where it has a place.
template <typename T>
const T* moved(const uint8_t* from, const Column& column, const Placement* place, int64_t fill,
               std::vector<uint8_t>& scratch) {
  const auto* values = reinterpret_cast<const T*>(from);
  if (place == nullptr) return values;
  scratch.resize(column.items * sizeof(T));
  auto* to = reinterpret_cast<T*>(scratch.data());
  const size_t dims = column.shape.size(), planes = dims == 3 ? static_cast<size_t>(column.shape[0]) : 1;
  place_image(values, planes, column.shape[dims - 2], column.shape[dims - 1], *place, static_cast<T>(fill),
              to);
  return to;
}

}  // namespace

bool BatchLoader::Slot::has_floats() const { return argument->dtype == dtype::kFloat32; }

BatchLoader::BatchLoader(const Dataset& dataset, const Contract& contract, PreprocessingByInput preprocessing,
                         size_t batch_size, bool shuffle, uint64_t seed)
    : dataset_(dataset),
      preprocessing_(std::move(preprocessing)),
      batch_size_(batch_size),
      shuffle_(shuffle),
      seed_(seed),
      drop_last_(contract.fixed_batch()) {
  for (const auto& arguments : {contract.inputs(), contract.targets()}) {
    for (const Argument* argument : arguments) {
      Slot slot(argument, dataset.find(argument->name));
      const auto found = preprocessing_.find(argument->name);
      if (found != preprocessing_.end() && argument->role == Role::kInput) slot.preprocessing = found->second;
      const size_t items = batch_size * slot.column->items;
      slot.has_floats() ? slot.floats.resize(items) : slot.longs.resize(items);
      slots_.push_back(std::move(slot));
    }
  }
  begin_epoch(0);
}

BatchLoader::~BatchLoader() = default;

size_t BatchLoader::count() const {
  return (dataset_.size() + (drop_last_ ? 0 : batch_size_ - 1)) / batch_size_;
}

size_t BatchLoader::size(size_t index) const {
  return std::min(batch_size_, dataset_.size() - index * batch_size_);
}

Status BatchLoader::augment(const Augmentation& augmentation) {
  augmentation_ = augmentation;
  if (!augmentation.any()) return {};
  auto& images = augmentation_.images;
  for (const Slot& slot : slots_) {
    const bool is_image =
        slot.argument->role == Role::kInput && slot.has_floats() && slot.column->shape.size() == 3;
    if (augmentation.images.empty() && is_image) images.push_back(slot.argument->name);
  }
  if (images.empty()) return bad_usage("--flip and --crop-padding need images [C, H, W]");
  for (const auto& name : images) EDGETRAIN_CHECK(move(name, 3, 0));
  for (const auto& [name, fill] : augmentation.masks) EDGETRAIN_CHECK(move(name, 2, fill));
  return {};
}

Status BatchLoader::move(const std::string& name, size_t dims, int64_t fill) {
  const auto slot = std::find_if(slots_.begin(), slots_.end(), [&](const Slot& s) {
    return s.argument->name == name && s.column->shape.size() == dims && s.has_floats() == (dims == 3);
  });
  if (slot == slots_.end()) {
    return bad_usage({"--flip and --crop-padding need ", name, " to be an image ",
                      (dims == 3 ? "[C, H, W]" : "[H, W] of labels")});
  }
  const auto& shape = slot->column->shape;
  const auto first = std::find_if(slots_.begin(), slots_.end(), [](const Slot& s) { return s.is_moved; });
  if (first != slots_.end() && !std::equal(shape.end() - 2, shape.end(), first->column->shape.end() - 2)) {
    return bad_usage({name, " and ", first->argument->name,
                      " are images of different sizes, which --flip and --crop-padding can't move alike"});
  }
  if (augmentation_.crop_padding >= std::min(shape[dims - 2], shape[dims - 1])) {
    return bad_usage({"--crop-padding ", augmentation_.crop_padding, " would move images out of sight"});
  }
  slot->is_moved = true;
  slot->fill = fill;
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

void BatchLoader::keep_features(Program& program) {
  features_ = std::make_unique<FeatureCache>(program, dataset_.size());
}

Result<Batch> BatchLoader::batch(size_t index) {
  if (!features_) return read(index, true);
  const auto first = order_.begin() + static_cast<std::ptrdiff_t>(index * batch_size_);
  const std::vector<uint32_t> rows(first, first + static_cast<std::ptrdiff_t>(size(index)));
  const bool known = features_->knows(rows);
  Batch batch = read(index, !known);
  if (!known) EDGETRAIN_CHECK(features_->learn(batch, rows));
  batch.features = features_->features(rows);
  return batch;
}

std::string BatchLoader::broken_sample(size_t first, size_t end) const {
  for (size_t b = first; b < std::min(end, count()); ++b) {
    for (size_t i = 0; i < size(b); ++i) {
      for (const Slot& slot : slots_) {
        if (slot.column->dtype != dtype::kFloat32) continue;
        const auto* values = reinterpret_cast<const float*>(dataset_.at(*slot.column, row(b, i)));
        const bool finite =
            std::all_of(values, values + slot.column->items, [](float v) { return std::isfinite(v); });
        if (!finite) {
          return joined(
              {"sample ", row(b, i), " of the training data has NaN or infinity in ", slot.argument->name});
        }
      }
    }
  }
  return {};
}

Batch BatchLoader::read(size_t index, bool with_inputs) {
  Batch batch;
  batch.size = size(index);
  std::vector<Placement> places;
  if (augmentation_.any()) places = draw_placements(augmentation_, batch.size, seed_, epoch_, index);
  for (Slot& slot : slots_) {
    if (!with_inputs && slot.argument->role == Role::kInput) continue;
    for (size_t i = 0; i < batch.size; ++i)
      copy(slot, row(index, i), slot.is_moved ? &places[i] : nullptr, i);
    auto& list = slot.argument->role == Role::kInput ? batch.inputs : batch.targets;
    list.push_back(tensor(slot, batch.size));
  }
  return batch;
}

void BatchLoader::copy(Slot& slot, size_t sample, const Placement* place, size_t to) {
  const Column& column = *slot.column;
  const size_t items = column.items;
  const uint8_t* from = dataset_.at(column, sample);
  if (slot.has_floats()) {
    float* out = slot.floats.data() + to * items;
    if (column.dtype == dtype::kUInt8) {
      prepare(moved<uint8_t>(from, column, place, slot.fill, scratch_), items, slot.preprocessing, out);
    } else {
      prepare(moved<float>(from, column, place, slot.fill, scratch_), items, slot.preprocessing, out);
    }
    return;
  }
  int64_t* out = slot.longs.data() + to * items;
  if (column.dtype == dtype::kUInt8) {
    // Wider first: what comes in at a border may be no byte.
    std::vector<int64_t> wide(from, from + items);
    std::memcpy(
        out,
        moved<int64_t>(reinterpret_cast<const uint8_t*>(wide.data()), column, place, slot.fill, scratch_),
        items * sizeof(int64_t));
  } else {
    std::memcpy(out, moved<int64_t>(from, column, place, slot.fill, scratch_), items * sizeof(int64_t));
  }
}

executorch::extension::TensorPtr BatchLoader::tensor(Slot& slot, size_t size) const {
  std::vector<SizesType> sizes = {static_cast<SizesType>(size)};
  for (const int64_t length : slot.column->shape) sizes.push_back(static_cast<SizesType>(length));
  void* data = slot.has_floats() ? static_cast<void*>(slot.floats.data()) : slot.longs.data();
  return executorch::extension::from_blob(data, std::move(sizes),
                                          static_cast<ScalarType>(slot.argument->dtype));
}

}  // namespace edgetrain
