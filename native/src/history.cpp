#include "edgetrain/history.h"

#include <cerrno>
#include <cmath>
#include <cstring>

#include "edgetrain/json.h"

namespace edgetrain {

void Meter::add(double loss, double right, uint64_t size) {
  loss_sum += loss * static_cast<double>(size);
  samples += size;
  if (right < 0) {
    has_accuracy = false;
  } else {
    correct += right;
  }
}

double Meter::loss() const { return samples ? loss_sum / static_cast<double>(samples) : std::nan(""); }

std::optional<double> Meter::accuracy() const {
  if (!has_accuracy || samples == 0) return std::nullopt;
  return correct / static_cast<double>(samples);
}

JsonLine::JsonLine(const std::string& event) : text_("{\"event\": " + json_quoted(event)) {}

JsonLine& JsonLine::add_raw(const std::string& name, const std::string& json) {
  text_ += ", " + json_quoted(name) + ": " + json;
  return *this;
}

JsonLine& JsonLine::add(const std::string& name, const std::string& text) {
  return add_raw(name, json_quoted(text));
}
JsonLine& JsonLine::add(const std::string& name, double value) { return add_raw(name, json_number(value)); }
JsonLine& JsonLine::add(const std::string& name, uint64_t value) {
  return add_raw(name, std::to_string(value));
}
JsonLine& JsonLine::add(const std::string& name, bool value) {
  return add_raw(name, value ? "true" : "false");
}

JsonLine& JsonLine::add(const std::string& name, const std::optional<double>& value) {
  return add_raw(name, value ? json_number(*value) : "null");
}

Status JsonLine::print() const {
  const bool written = std::printf("%s}\n", text_.c_str()) >= 0 && std::fflush(stdout) == 0;
  return written ? Status() : Status(failed(std::string("can't write to stdout: ") + std::strerror(errno)));
}

JsonLine epoch_line(const EpochRecord& record) {
  JsonLine line("epoch");
  line.add("epoch", record.epoch)
      .add("train_loss", record.train_loss)
      .add("train_accuracy", record.train_accuracy)
      .add("val_loss", record.val_loss)
      .add("val_accuracy", record.val_accuracy)
      .add("train_time_s", record.train_time_s)
      .add("train_time_per_sample_s", record.train_time_per_sample_s)
      .add("val_time_s", record.val_time_s)
      .add("val_time_per_sample_s", record.val_time_per_sample_s)
      .add("steps", record.steps)
      .add("learning_rate", record.learning_rate);
  return line;
}

}  // namespace edgetrain
