#include "commands.h"
#include "edgetrain/cpu.h"
#include "edgetrain/finetune.h"
#include "edgetrain/memory.h"
#include "json_line.h"
#include "outputs.h"
#include "progress.h"
#include "setup.h"

namespace edgetrain {

Status run_train(Arguments& arguments, const Stop& stop) {
  EDGETRAIN_TAKE(const auto program, open_program(arguments));
  EDGETRAIN_CHECK(check_outputs(arguments, *program));
  const Job& job = arguments.job;
  Progress progress(program->contract(), job.settings.whole("finetune", "epochs"), job.log_steps);
  const auto done = finetune(*program, job, progress, &stop);
  Status profiled = write_profile(arguments, *program);
  if (!done.ok()) return done.failure();
  EDGETRAIN_CHECK(std::move(profiled));
  JsonLine result("result");
  if (done->best_epoch) result.add("best_epoch", *done->best_epoch);
  return result.add("runtime", "native")
      .add("output", job.output)
      .add("state", done->state)
      .add("steps", done->steps)
      .add(done->last.val, "val_")
      .add("threads", uint64_t{thread_count()})
      .add("seed", job.settings.whole("finetune", "seed"))
      .add("peak_rss_bytes", peak_rss_bytes())
      .print();
}

}  // namespace edgetrain
