#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "edgetrain/job.h"
#include "edgetrain/metrics.h"
#include "edgetrain/observer.h"
#include "edgetrain/profiler.h"
#include "edgetrain/program.h"
#include "edgetrain/result.h"
#include "edgetrain/stop.h"

namespace edgetrain {

/// How a run ended.
struct FinetuneResult {
  uint64_t steps = 0;
  EpochRecord last;                    ///< of the last validation, or the one whose weights were kept
  std::string state;                   ///< the file a run can go on from
  std::optional<uint64_t> best_epoch;  ///< whose weights were kept; none: those after the last step
};

/// The program of a job, with the weights it starts from, loaded for what the job takes: what comes later,
/// such as other settings of the optimizer, may not fit it any more.
/// @param profiler may be null
/// @param more uses (program.h) beyond the job's
Result<std::unique_ptr<Program>> open_program(const Job& job, std::unique_ptr<Profiler> profiler = nullptr,
                                              unsigned more = 0);

/// Does a job: trains, validates and saves.
/// @param program as open_program gives it
/// @param stop may be null
Result<FinetuneResult> finetune(Program& program, Job job, Observer& observer, const Stop* stop = nullptr);

/// The file beside `output` that --resume goes on from.
std::string state_path(const std::string& output);

/// The file beside `output` that tells of the epochs, where a job asks for it.
std::string history_path(const std::string& output);

}  // namespace edgetrain
