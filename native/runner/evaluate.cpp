#include <cmath>

#include "commands.h"
#include "edgetrain/cpu.h"
#include "edgetrain/memory.h"
#include "edgetrain/trainer.h"
#include "json_line.h"
#include "outputs.h"
#include "setup.h"

namespace edgetrain {

Status run_evaluate(Arguments& arguments, const Stop& stop) {
  EDGETRAIN_TAKE(const auto program, open_program(arguments));
  EDGETRAIN_CHECK(check_outputs(arguments, *program));
  // Without --batch-size in the largest batches, as validation is.
  size_t batch_size = program->contract().most_batch;
  if (arguments.job.settings.has("finetune", "batch_size")) {
    EDGETRAIN_TAKE(batch_size, choose_batch_size(*program, arguments.job.settings));
  }
  EDGETRAIN_TAKE(const Samples samples, open_samples(arguments, *program, batch_size));
  EDGETRAIN_TAKE(const Meter meter, evaluate(*program, *samples.loader, &stop));
  EDGETRAIN_CHECK(write_profile(arguments, *program));
  const auto& metrics = program->contract().metrics;
  if (!std::isfinite(meter.figure(metrics[0]))) return check_failed({"the loss is not finite"});
  return JsonLine("result")
      .add(meter.figures(metrics))
      .add("samples", meter.samples)
      .add("threads", uint64_t{thread_count()})
      .add("peak_rss_bytes", peak_rss_bytes())
      .print();
}

}  // namespace edgetrain
