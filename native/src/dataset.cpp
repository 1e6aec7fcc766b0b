#include "edgetrain/dataset.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace edgetrain {
namespace {

using executorch::aten::ScalarType;

constexpr size_t kRecordBytes = 1 + 3 * 32 * 32;

size_t items(const std::vector<int64_t>& shape) {
  return std::accumulate(shape.begin(), shape.end(), size_t{1},
                         [](size_t total, int64_t length) { return total * static_cast<size_t>(length); });
}

std::vector<int64_t> tail(const std::vector<int64_t>& shape) { return {shape.begin() + 1, shape.end()}; }

}  // namespace

Result<Dataset> Dataset::open(const std::vector<std::string>& paths) {
  Dataset dataset;
  Sha256 hasher;
  for (const auto& path : paths) EDGETRAIN_CHECK(dataset.add(path));
  if (dataset.size_ == 0)
    return bad_input(paths.empty() ? "no data set was named" : paths[0] + " holds no samples");
  for (const Part& part : dataset.parts_) {
    hasher.update(part.file.data(), part.file.size());
    part.file.release_pages();
  }
  dataset.fingerprint_ = hex(hasher.finish());
  return dataset;
}

Status Dataset::add(const std::string& path) {
  EDGETRAIN_TAKE(MappedFile file, MappedFile::open(path));
  if (file.size() >= 8 && std::memcmp(file.data() + 4, "FT01", 4) == 0) return add_packed(path);
  if (file.size() > 0 && file.size() % kRecordBytes == 0) return add_records(std::move(file));
  return bad_input(path + " is neither a packed .ptd nor whole CIFAR-10 records of 3073 bytes");
}

Status Dataset::add_packed(const std::string& path) {
  EDGETRAIN_TAKE(TensorFile tensors, TensorFile::open(path));
  EDGETRAIN_CHECK(add_manifest(path));
  const TensorEntry* inputs = tensors.find("inputs");
  const TensorEntry* targets = tensors.find("targets");
  const bool usable = inputs != nullptr && targets != nullptr && !inputs->shape.empty() &&
                      !targets->shape.empty() && inputs->shape[0] == targets->shape[0] &&
                      (inputs->dtype == kByte || inputs->dtype == kFloat || inputs->dtype == kLong) &&
                      (targets->dtype == kFloat || (targets->dtype == kLong && targets->shape.size() == 1));
  if (!usable) {
    return bad_input(
        path + " is no packed data set: it needs inputs (uint8, float32 or int64 [N, ...]) and targets " +
        "(int64 [N] or float32 [N, ...])");
  }
  const auto count = static_cast<size_t>(inputs->shape[0]);
  const size_t input_bytes = count ? inputs->size / count : 0,
               target_bytes = count ? targets->size / count : 0;
  const auto sample = tail(inputs->shape), target = tail(targets->shape);
  const int8_t input_dtype = inputs->dtype, target_dtype = targets->dtype;
  const size_t input_offset = inputs->offset, target_offset = targets->offset;
  MappedFile file = std::move(tensors).take_file();
  const uint8_t* data = file.data();
  return add_part(
      {std::move(file), data + input_offset, data + target_offset, count, input_bytes, target_bytes}, sample,
      input_dtype, target, target_dtype);
}

Status Dataset::add_manifest(const std::string& path) {
  const std::string beside = manifest_path(path);
  if (!file_exists(beside)) return {};
  EDGETRAIN_TAKE(DatasetManifest found, load_dataset_manifest(beside));
  EDGETRAIN_CHECK(check_file(path, found.file));
  if (manifest_ &&
      !(manifest_->preprocessing == found.preprocessing && manifest_->classes == found.classes)) {
    return bad_input(beside + " has other classes or another preprocessing than the data named before it");
  }
  manifest_ = std::move(found);
  return {};
}

Status Dataset::add_records(MappedFile file) {
  const uint8_t* data = file.data();
  const size_t count = file.size() / kRecordBytes;
  for (size_t i = 0; i < count; ++i) {
    if (data[i * kRecordBytes] > 9) {
      return bad_input(file.path() + " is no CIFAR-10 file: record " + std::to_string(i) + " has class " +
                       std::to_string(data[i * kRecordBytes]));
    }
  }
  return add_part({std::move(file), data + 1, data, count, kRecordBytes, kRecordBytes}, {3, 32, 32}, kByte,
                  {}, kByte);
}

Status Dataset::add_part(Part part, std::vector<int64_t> sample, int8_t input, std::vector<int64_t> target,
                         int8_t target_dtype) {
  const bool first = parts_.empty();
  if (!first && (sample != sample_shape_ || target != target_shape_ || input != input_dtype_ ||
                 target_dtype != target_dtype_)) {
    return bad_input(part.file.path() + " is laid out differently from " + parts_[0].file.path());
  }
  if (part.count > UINT32_MAX - size_) return bad_input(part.file.path() + " makes the data set too large");
  sample_items_ = items(sample);
  target_items_ = items(target);
  sample_shape_ = std::move(sample);
  target_shape_ = std::move(target);
  input_dtype_ = input;
  target_dtype_ = target_dtype;
  size_ += part.count;
  parts_.push_back(std::move(part));
  return {};
}

Status Dataset::check_fits(const Program& program, size_t classes) const {
  const auto shape_text = [](const std::vector<int64_t>& shape, ScalarType type) {
    return describe(shape, static_cast<int8_t>(type));
  };
  const std::string& path = parts_[0].file.path();
  const InputSpec &inputs = program.inputs(), &targets = program.targets();
  const bool ids = inputs.dtype == ScalarType::Long;
  if (sample_shape_ != inputs.shape || ids != (input_dtype_ == kLong) ||
      (!ids && inputs.dtype != ScalarType::Float)) {
    return bad_input(path + " has samples " + describe(sample_shape_, input_dtype_) + ", the program takes " +
                     shape_text(inputs.shape, inputs.dtype));
  }
  const bool fits = targets.shape == target_shape_ &&
                    targets.dtype == (has_classes() ? ScalarType::Long : ScalarType::Float);
  if (!fits) {
    return bad_input(path + " has targets " + describe(target_shape_, has_classes() ? kLong : kFloat) +
                     ", the program takes " + shape_text(targets.shape, targets.dtype));
  }
  for (size_t i = 0; has_classes() && classes > 0 && i < size_; ++i) {
    if (const int64_t found = target_class(i); found < 0 || found >= static_cast<int64_t>(classes)) {
      return bad_input(path + ": sample " + std::to_string(i) + " has class " + std::to_string(found) +
                       ", the model knows 0 to " + std::to_string(classes - 1));
    }
  }
  return {};
}

const uint8_t* Dataset::at(size_t index, bool target) const {
  for (const Part& part : parts_) {
    if (index < part.count) {
      return target ? part.targets + index * part.target_stride : part.inputs + index * part.input_stride;
    }
    index -= part.count;
  }
  return nullptr;  // not reached: callers stay below size()
}

void Dataset::copy_input(size_t index, const Preprocessing& preprocessing, float* to) const {
  prepare(at(index, false), preprocessing, to);
}

void Dataset::copy_image(size_t index, const Preprocessing& preprocessing, const Placement& place,
                         std::vector<uint8_t>& scratch, float* to) const {
  const size_t channels = static_cast<size_t>(sample_shape_[0]);
  const int64_t height = sample_shape_[1], width = sample_shape_[2];
  const uint8_t* from = at(index, false);
  if (input_dtype_ == kByte) {
    scratch.resize(sample_items_);
    place_image(from, channels, height, width, place, scratch.data());
  } else {
    scratch.resize(sample_items_ * sizeof(float));
    place_image(reinterpret_cast<const float*>(from), channels, height, width, place,
                reinterpret_cast<float*>(scratch.data()));
  }
  prepare(scratch.data(), preprocessing, to);
}

void Dataset::prepare(const uint8_t* from, const Preprocessing& preprocessing, float* to) const {
  const auto& [scale, mean, std] = preprocessing;
  // Channels are dimension 0 of a sample; one number serves all of them.
  const size_t channels = mean.size();
  const size_t per_channel = sample_items_ / channels;
  for (size_t c = 0; c < channels; ++c) {
    const size_t start = c * per_channel;
    if (input_dtype_ == kByte) {
      for (size_t i = start; i < start + per_channel; ++i) to[i] = (from[i] * scale - mean[c]) / std[c];
    } else {
      const auto* values = reinterpret_cast<const float*>(from);
      for (size_t i = start; i < start + per_channel; ++i) to[i] = (values[i] * scale - mean[c]) / std[c];
    }
  }
}

void Dataset::copy_input(size_t index, int64_t* to) const {
  std::memcpy(to, at(index, false), sample_items_ * sizeof(int64_t));
}

void Dataset::copy_target(size_t index, float* to) const {
  std::memcpy(to, at(index, true), target_items_ * sizeof(float));
}

int64_t Dataset::target_class(size_t index) const {
  const uint8_t* from = at(index, true);
  if (target_dtype_ == kByte) return *from;
  int64_t value = 0;
  std::memcpy(&value, from, sizeof(value));
  return value;
}

double count_correct(const executorch::aten::Tensor& predictions, const Batch& batch,
                     const std::string& loss) {
  const auto& targets = *batch.targets;
  const auto count = static_cast<size_t>(predictions.numel());
  if (targets.scalar_type() == ScalarType::Long) {
    const int64_t* wanted = targets.const_data_ptr<int64_t>();
    size_t right = 0;
    if (predictions.scalar_type() == ScalarType::Long && count == batch.size) {
      const int64_t* found = predictions.const_data_ptr<int64_t>();
      for (size_t i = 0; i < count; ++i) right += found[i] == wanted[i];
      return static_cast<double>(right);
    }
    if (predictions.scalar_type() == ScalarType::Float && predictions.dim() == 2) {
      const size_t width = count / batch.size;
      const float* logits = predictions.const_data_ptr<float>();
      for (size_t i = 0; i < batch.size; ++i, logits += width) {
        right += std::max_element(logits, logits + width) - logits == wanted[i];
      }
      return static_cast<double>(right);
    }
    return -1;
  }
  const bool labels = loss == "bce_with_logits" && predictions.scalar_type() == ScalarType::Bool &&
                      count > 0 && count == static_cast<size_t>(targets.numel());
  if (!labels) return -1;
  size_t right = 0;
  for (size_t i = 0; i < count; ++i) {
    right += predictions.const_data_ptr<bool>()[i] == (targets.const_data_ptr<float>()[i] > 0.5F);
  }
  return static_cast<double>(right) * static_cast<double>(batch.size) / static_cast<double>(count);
}

}  // namespace edgetrain
