#include "setup.h"

#include "edgetrain/cpu.h"
#include "edgetrain/finetune.h"
#include "progress.h"

namespace edgetrain {

Result<std::unique_ptr<Program>> open_program(Arguments& arguments) {
  const Settings& settings = arguments.job.settings;
  if (settings.has("finetune", "threads")) {
    EDGETRAIN_CHECK(set_threads(static_cast<uint32_t>(settings.whole("finetune", "threads"))));
  }
  std::unique_ptr<Profiler> profiler;
  if (!arguments.profile.empty()) {
    const bool training = arguments.command == "train" || arguments.command == "bench";
    EDGETRAIN_TAKE(profiler, Profiler::make(arguments.profile_batches, training));
  }
  EDGETRAIN_TAKE(auto program, open_program(arguments.job, std::move(profiler)));
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
