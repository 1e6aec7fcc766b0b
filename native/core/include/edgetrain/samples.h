#pragma once

#include <memory>
#include <string>
#include <vector>

#include "edgetrain/batch_loader.h"
#include "edgetrain/dataset.h"
#include "edgetrain/observer.h"
#include "edgetrain/program.h"
#include "edgetrain/result.h"
#include "edgetrain/settings.h"

namespace edgetrain {

/// A data set with the loader that cuts it.
struct Samples {
  std::unique_ptr<Dataset> dataset;
  std::unique_ptr<BatchLoader> loader;
};

/// How a data set is taken.
struct SampleSettings {
  PreprocessingByInput preprocessing;  ///< for programs without a manifest
  bool preprocessed = false;           ///< samples are taken as they are
  size_t batch_size = 1;
  bool shuffle = false;
  uint64_t seed = 0;
};

/// Samples per batch: what was asked for, where the program takes that, or else what is usual.
Result<size_t> choose_batch_size(const Program& program, const Settings& settings);

/// Opens a data set for a program.
Result<Samples> open_samples(const Program& program, const std::vector<std::string>& paths,
                             const SampleSettings& settings, Observer& observer);

}  // namespace edgetrain
