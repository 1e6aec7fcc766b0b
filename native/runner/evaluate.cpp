#include <cmath>

#include "commands.h"
#include "edgetrain/platform.h"
#include "outputs.h"
#include "samples.h"

namespace edgetrain {

Status run_evaluate(const Arguments& arguments) {
  EDGETRAIN_TAKE(const auto program, open_program(arguments));
  EDGETRAIN_CHECK(check_outputs(arguments, *program));
  // Without --batch-size in the largest batches, as validation is.
  size_t batch_size = program->max_batch_size();
  if (arguments.batch_size) {
    EDGETRAIN_TAKE(batch_size, choose_batch_size(arguments, *program));
  }
  EDGETRAIN_TAKE(const Samples samples, open_samples(arguments, *program, arguments.data, batch_size, false));
  EDGETRAIN_TAKE(const Meter meter,
                 evaluate(*program, *samples.loader, program->manifest() ? program->manifest()->loss : ""));
  EDGETRAIN_CHECK(write_profile(arguments, *program));
  if (!std::isfinite(meter.loss())) return check_failed("the loss is not finite");
  return JsonLine("result")
      .add("loss", meter.loss())
      .add("accuracy", meter.accuracy())
      .add("samples", meter.samples)
      .add("threads", uint64_t{thread_count()})
      .add("peak_rss_bytes", peak_rss_bytes())
      .print();
}

}  // namespace edgetrain
