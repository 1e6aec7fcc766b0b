#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "edgetrain/augmentation.h"
#include "edgetrain/flat_tensor.h"
#include "edgetrain/manifest.h"
#include "edgetrain/mapped_file.h"
#include "edgetrain/program.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// Samples with their targets, mapped rather than read.
///
/// A file is either a packed .ptd with the tensors `inputs` (uint8, float32 or int64 [N, ...]) and `targets`
/// (int64 [N] or float32 [N, ...]), or CIFAR-10's binary format: records of one label byte and 3 x 32 x 32
/// bytes of pixels.
class Dataset {
 public:
  /// Several files of one layout become one data set, in the order given.
  static Result<Dataset> open(const std::vector<std::string>& paths);

  size_t size() const { return size_; }
  const std::vector<int64_t>& sample_shape() const { return sample_shape_; }
  const std::vector<int64_t>& target_shape() const { return target_shape_; }
  /// Numbers in a sample, and in its targets.
  size_t sample_items() const { return sample_items_; }
  size_t target_items() const { return target_items_; }
  /// Whether targets are classes (rather than numbers).
  bool has_classes() const { return target_dtype_ != kFloat; }
  /// Whether inputs are stored as bytes, which no program takes as they are.
  bool has_bytes() const { return input_dtype_ == kByte; }
  /// What is known about packed data; null without a manifest beside it.
  const DatasetManifest* manifest() const { return manifest_ ? &*manifest_ : nullptr; }
  /// SHA-256 over the files, by which a resumed run recognises its data.
  const std::string& fingerprint() const { return fingerprint_; }

  /// Checks that a program can take these samples.
  /// @param classes number of classes the model knows; 0: unknown.
  Status check_fits(const Program& program, size_t classes) const;

  /// Copies one sample as float32, preprocessed; or as it is where the program takes int64 ids.
  void copy_input(size_t index, const Preprocessing& preprocessing, float* to) const;
  void copy_input(size_t index, int64_t* to) const;
  /// As `copy_input`, for an image [C, H, W] that is moved or mirrored first. `scratch` keeps its memory
  /// between calls.
  void copy_image(size_t index, const Preprocessing& preprocessing, const Placement& place,
                  std::vector<uint8_t>& scratch, float* to) const;
  void copy_target(size_t index, float* to) const;
  int64_t target_class(size_t index) const;

 private:
  static constexpr int8_t kByte = static_cast<int8_t>(DType::kUInt8);
  static constexpr int8_t kLong = static_cast<int8_t>(DType::kInt64);
  static constexpr int8_t kFloat = static_cast<int8_t>(DType::kFloat32);

  /// Samples of one file; `stride`s are bytes from one sample to the next.
  struct Part {
    MappedFile file;
    const uint8_t *inputs, *targets;
    size_t count, input_stride, target_stride;
  };
  Status add(const std::string& path);
  Status add_packed(const std::string& path);
  Status add_manifest(const std::string& path);
  Status add_records(MappedFile file);
  Status add_part(Part part, std::vector<int64_t> sample, int8_t input, std::vector<int64_t> target,
                  int8_t target_dtype);
  const uint8_t* at(size_t index, bool target) const;
  void prepare(const uint8_t* from, const Preprocessing& preprocessing, float* to) const;

  std::vector<Part> parts_;
  size_t size_ = 0;
  std::vector<int64_t> sample_shape_, target_shape_;
  int8_t input_dtype_ = 0, target_dtype_ = 0;
  size_t sample_items_ = 1, target_items_ = 1;
  std::string fingerprint_;
  std::optional<DatasetManifest> manifest_;
};

/// Right samples of a batch, as the Python side counts them: a sample with several labels counts by its share
/// of right ones. Negative where predictions can't be right or wrong (a regression).
/// @param loss the manifest's loss; empty without a manifest: targets that are classes say it then.
double count_correct(const executorch::aten::Tensor& predictions, const Batch& batch,
                     const std::string& loss);

}  // namespace edgetrain
