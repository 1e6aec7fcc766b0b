#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "edgetrain/augmentation.h"
#include "edgetrain/dataset.h"
#include "edgetrain/manifest.h"
#include "edgetrain/program.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// Cuts a data set into batches. Refers to the data set, which must outlive it.
class BatchLoader {
 public:
  /// @param drop_last leave out a last batch that is smaller than the others (programs with a fixed batch
  /// size).
  BatchLoader(const Dataset& dataset, const Program& program, Preprocessing preprocessing, size_t batch_size,
              bool shuffle, uint64_t seed, bool drop_last);

  /// Batches in an epoch.
  size_t count() const;
  /// Moves and mirrors images from now on; fails where the samples are no images that can be moved so far.
  Status augment(const Augmentation& augmentation);
  /// Chooses the order of an epoch.
  void begin_epoch(uint64_t epoch);
  /// One batch of the epoch. Its memory is the loader's, valid until the next call.
  Batch batch(size_t index);
  const Preprocessing& preprocessing() const { return preprocessing_; }
  /// Position in the data set of a batch's sample.
  size_t row(size_t index, size_t sample) const { return order_[index * batch_size_ + sample]; }

 private:
  const Dataset& dataset_;
  Preprocessing preprocessing_;
  size_t batch_size_;
  bool shuffle_;
  uint64_t seed_;
  bool drop_last_;
  bool ids_;  // the program takes int64 ids rather than numbers
  Augmentation augmentation_;
  uint64_t epoch_ = 0;
  std::vector<uint32_t> order_;
  std::vector<float> inputs_, float_targets_;
  std::vector<int64_t> id_inputs_, class_targets_;
  std::vector<uint8_t> scratch_;
};

}  // namespace edgetrain
