#pragma once

#include <memory>

#include "arguments.h"
#include "edgetrain/program.h"
#include "edgetrain/result.h"
#include "edgetrain/samples.h"

namespace edgetrain {

/// The program the arguments name, loaded for what the command does, on as many threads as they say. What
/// they say about all inputs is said of each then.
Result<std::unique_ptr<Program>> open_program(Arguments& arguments);

/// Its samples in the file's order.
Result<Samples> open_samples(const Arguments& arguments, const Program& program, size_t batch_size);

}  // namespace edgetrain
