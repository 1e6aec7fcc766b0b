#pragma once

#include <string>
#include <vector>

#include "edgetrain/augmentation.h"
#include "edgetrain/manifest.h"
#include "edgetrain/result.h"
#include "edgetrain/settings.h"

namespace edgetrain {

/// All that it takes to fine-tune a program.
struct Job {
  std::string program;
  std::string weights;  ///< a .ptd to start from; empty: the one the program was exported with
  std::vector<std::string> data, validation;
  std::string output;                  ///< where the tuned weights go
  std::string history;                 ///< without epochs, to be filled in beside `output`; empty: none
  bool resume = false;                 ///< go on from the state beside `output`
  bool log_steps = false;              ///< tell of each step
  PreprocessingByInput preprocessing;  ///< for programs without a manifest
  std::vector<std::string> images;     ///< as in Augmentation
  std::map<std::string, int64_t> masks;
  Settings settings;

  Augmentation augmentation() const;
};

/// Reads JOB.json as `edgetrain finetune` writes it. Its paths are relative to its folder.
Result<Job> load_job(const std::string& path);

}  // namespace edgetrain
