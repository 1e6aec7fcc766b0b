#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "edgetrain/program.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// What a program's backbone makes of samples, kept from epoch to epoch. Refers to the program, which must
/// outlive it.
class FeatureCache {
 public:
  /// @param samples of the data set
  FeatureCache(Program& program, size_t samples);

  /// What that takes [bytes]; 0 without a backbone.
  static size_t bytes(const Contract& contract, size_t samples);

  /// Whether all these samples were there before.
  bool knows(const std::vector<uint32_t>& rows) const;
  /// Runs the backbone on a batch.
  /// @param rows positions of its samples
  Status learn(const Batch& batch, const std::vector<uint32_t>& rows);
  /// The features of known samples, as Batch has them. Their memory is the cache's, valid until the next
  /// call.
  std::vector<executorch::extension::TensorPtr> features(const std::vector<uint32_t>& rows);

 private:
  /// One feature of all samples, and of a batch.
  struct Column {
    const Argument* argument;
    size_t sample_bytes;
    std::vector<uint8_t> all, batch;
  };

  Program& program_;
  std::vector<Column> columns_;
  std::vector<bool> known_;
};

}  // namespace edgetrain
