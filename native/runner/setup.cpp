#include "setup.h"

#include "edgetrain/cpu.h"
#include "edgetrain/finetune.h"
#include "progress.h"

namespace edgetrain {
namespace {

bool trains(const Arguments& arguments) {
  return arguments.command == "train" || arguments.command == "bench";
}

/// Training takes what its settings ask for, other commands always the same.
Result<std::unique_ptr<Program>> load(const Arguments& arguments, std::unique_ptr<Profiler> profiler) {
  const Job& job = arguments.job;
  if (trains(arguments))
    return open_program(job, std::move(profiler), arguments.gradients.empty() ? 0 : use::kGradients);
  EDGETRAIN_TAKE(ProgramFiles files, ProgramFiles::open(job.program, job.weights));
  const unsigned uses = arguments.command == "evaluate"  ? use::kEvaluation
                        : arguments.command == "predict" ? use::kPrediction
                                                         : use::kAll;
  return Program::load(std::move(files), uses, std::move(profiler));
}

}  // namespace

Result<std::unique_ptr<Program>> open_program(Arguments& arguments) {
  const Settings& settings = arguments.job.settings;
  if (settings.has("finetune", "threads")) {
    EDGETRAIN_CHECK(set_threads(static_cast<uint32_t>(settings.whole("finetune", "threads"))));
  }
  std::unique_ptr<Profiler> profiler;
  if (!arguments.profile.empty()) {
    EDGETRAIN_TAKE(profiler, Profiler::make(arguments.profile_batches, trains(arguments)));
  }
  EDGETRAIN_TAKE(auto program, load(arguments, std::move(profiler)));
  if (arguments.preprocessing) {
    for (const Argument* input : program->contract().inputs()) {
      arguments.job.preprocessing[input->name] = *arguments.preprocessing;
    }
  }
  return program;
}

Result<Samples> open_samples(const Arguments& arguments, const Program& program, size_t batch_size) {
  Progress notes;
  SampleSettings settings;
  settings.preprocessing = arguments.job.preprocessing;
  settings.preprocessed = arguments.command == "bench";
  settings.batch_size = batch_size;
  return open_samples(program, arguments.job.data, settings, notes);
}

}  // namespace edgetrain
