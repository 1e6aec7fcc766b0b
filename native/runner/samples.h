#pragma once

#include <memory>
#include <string>
#include <vector>

#include "edgetrain/arguments.h"
#include "edgetrain/batch_loader.h"
#include "edgetrain/dataset.h"
#include "edgetrain/program.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// The program the arguments name, on as many threads as they say.
Result<std::unique_ptr<Program>> open_program(const Arguments& arguments);

/// Samples per batch: what was asked for, where the program takes that.
Result<size_t> choose_batch_size(const Arguments& arguments, const Program& program);

/// A data set with the loader that cuts it.
struct Samples {
  std::unique_ptr<Dataset> dataset;
  std::unique_ptr<BatchLoader> loader;
};

Result<Samples> open_samples(const Arguments& arguments, const Program& program,
                             const std::vector<std::string>& paths, size_t batch_size, bool shuffle);

}  // namespace edgetrain
