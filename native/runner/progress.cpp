#include "progress.h"

#include <cinttypes>
#include <cstdio>

#include "json_line.h"

namespace edgetrain {

Status Progress::on_epoch(const EpochRecord& record) {
  const auto& loss = record.val[0].value;
  if (record.epoch == 0) {
    if (loss) std::fprintf(stderr, "before training: validation loss %.4f\n", *loss);
  } else {
    std::fprintf(stderr, "epoch %" PRIu64 "/%" PRIu64 ": loss %.4f", record.epoch, epochs_,
                 record.train[0].value.value_or(0));
    if (loss) std::fprintf(stderr, ", validation loss %.4f", *loss);
    for (size_t i = 1; i < record.val.size(); ++i) {
      const auto& [name, value] = record.val[i];
      if (value && shares_.count(name)) std::fprintf(stderr, ", %s %.2f %%", name.c_str(), 100 * *value);
      if (value && !shares_.count(name)) std::fprintf(stderr, ", %s %.4g", name.c_str(), *value);
    }
    std::fprintf(stderr, ", %.1f s\n", record.train_time_s.value_or(0));
  }
  return JsonLine("epoch").add_members(epoch_json(record)).print();
}

Status Progress::on_step(const StepRecord& record) {
  if (!steps_) return {};
  return JsonLine("step")
      .add("step", record.step)
      .add("of", record.of)
      .add("loss", record.loss)
      .add("count", record.count)
      .add("learning_rate", record.learning_rate)
      .add("samples", record.samples)
      .add("time_s", record.time_s)
      .print();
}

void Progress::on_note(const std::string& text) { std::fprintf(stderr, "note: %s\n", text.c_str()); }

void Progress::on_progress(const std::string& text) { std::fprintf(stderr, "%s\n", text.c_str()); }

}  // namespace edgetrain
