#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "edgetrain/augmentation.h"
#include "edgetrain/dataset.h"
#include "edgetrain/manifest.h"
#include "edgetrain/program.h"
#include "edgetrain/result.h"

namespace edgetrain {

class FeatureCache;

/// Cuts a data set into batches. Refers to the data set, which must outlive it.
class BatchLoader {
 public:
  /// @param dataset fits the contract
  /// @param preprocessing of inputs by name; others are taken as they are
  /// Programs with a fixed batch size get no last batch that is smaller.
  BatchLoader(const Dataset& dataset, const Contract& contract, PreprocessingByInput preprocessing,
              size_t batch_size, bool shuffle, uint64_t seed);
  ~BatchLoader();

  /// Batches in an epoch.
  size_t count() const;
  /// Samples in one batch of the epoch.
  size_t size(size_t index) const;
  /// Moves and mirrors images from now on; fails where the samples are no images that can be moved so far.
  Status augment(const Augmentation& augmentation);
  /// Chooses the order of an epoch.
  void begin_epoch(uint64_t epoch);
  /// Has the backbone run only once on each sample from now on: batches then have features in place of
  /// inputs.
  /// @param program has a backbone, and outlives the loader
  void keep_features(Program& program);
  /// One batch of the epoch. Its memory is the loader's, valid until the next call.
  Result<Batch> batch(size_t index);
  const PreprocessingByInput& preprocessing() const { return preprocessing_; }
  /// What a sample of some batches of the epoch holds that is no finite number; empty where there is no such
  /// sample.
  std::string broken_sample(size_t first, size_t end) const;
  /// Position in the data set of a batch's sample.
  size_t row(size_t index, size_t sample) const { return order_[index * batch_size_ + sample]; }

 private:
  /// One tensor of a batch.
  struct Slot {
    Slot(const Argument* argument, const Column* column) : argument(argument), column(column) {}
    const Argument* argument;
    const Column* column;
    Preprocessing preprocessing;
    bool is_moved = false;
    int64_t fill = 0;
    std::vector<float> floats;  // or
    std::vector<int64_t> longs;

    bool has_floats() const;
  };
  Batch read(size_t index, bool with_inputs);
  /// Copies a sample, moved, to its place in the batch.
  void copy(Slot& slot, size_t sample, const Placement* place, size_t to);
  Status move(const std::string& name, size_t dims, int64_t fill);
  executorch::extension::TensorPtr tensor(Slot& slot, size_t size) const;

  const Dataset& dataset_;
  PreprocessingByInput preprocessing_;
  size_t batch_size_;
  bool shuffle_;
  uint64_t seed_;
  bool drop_last_;
  std::vector<Slot> slots_;
  Augmentation augmentation_;
  uint64_t epoch_ = 0;
  std::vector<uint32_t> order_;
  std::vector<uint8_t> scratch_;
  std::unique_ptr<FeatureCache> features_;
};

}  // namespace edgetrain
