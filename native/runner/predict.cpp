#include <algorithm>
#include <cmath>

#include "commands.h"
#include "edgetrain/json.h"
#include "json_line.h"
#include "outputs.h"
#include "setup.h"

namespace edgetrain {
namespace {

using executorch::aten::ScalarType;

/// What an output holds of one sample.
std::vector<double> values_of(const Output& output, size_t sample, size_t batch) {
  const auto& tensor = output.value;
  const size_t count = static_cast<size_t>(tensor.numel()) / batch, first = sample * count;
  std::vector<double> values(count, std::nan(""));
  for (size_t i = 0; i < count; ++i) {
    if (tensor.scalar_type() == ScalarType::Float) values[i] = tensor.const_data_ptr<float>()[first + i];
    if (tensor.scalar_type() == ScalarType::Bool) values[i] = tensor.const_data_ptr<bool>()[first + i];
    if (tensor.scalar_type() == ScalarType::Long)
      values[i] = static_cast<double>(tensor.const_data_ptr<int64_t>()[first + i]);
  }
  return values;
}

std::string numbers_json(const std::vector<double>& values) {
  std::vector<std::string> numbers;
  for (const double value : values) numbers.push_back(json_float(value));
  return json_list(numbers);
}

/// One output of a role as it is, several by name; empty where there is none.
std::string role_json(const std::vector<Output>& outputs, Role role, size_t sample, size_t batch) {
  std::string only, all;
  for (const auto& output : outputs) {
    if (output.what->role != role) continue;
    const auto values = values_of(output, sample, batch);
    // A single prediction is a number, an output always a list.
    const bool is_scalar = role == Role::kPrediction && output.value.dim() == 1;
    const std::string json = is_scalar ? json_float(values[0]) : numbers_json(values);
    only = all.empty() ? json : "";
    all += (all.empty() ? "" : ", ") + json_quoted(output.what->name) + ": " + json;
  }
  return all.empty() || !only.empty() ? only : "{" + all + "}";
}

/// The class that is predicted, where there is one per sample.
const Output* find_class(const std::vector<Output>& outputs) {
  const auto found = std::find_if(outputs.begin(), outputs.end(), [](const Output& output) {
    return output.what->role == Role::kPrediction && output.value.dim() == 1 &&
           output.value.scalar_type() == ScalarType::Long;
  });
  return found == outputs.end() ? nullptr : &*found;
}

}  // namespace

Status run_predict(Arguments& arguments, const Stop& stop) {
  EDGETRAIN_TAKE(const auto program, open_program(arguments));
  EDGETRAIN_CHECK(check_outputs(arguments, *program));
  EDGETRAIN_TAKE(size_t batch_size, choose_batch_size(*program, arguments.job.settings));
  // Each sample's outputs are its own: parts need not be put together.
  batch_size = std::min(batch_size, program->contract().most_batch);
  EDGETRAIN_TAKE(const Samples samples, open_samples(arguments, *program, batch_size));
  const auto classes = program->manifest() ? program->manifest()->classes : std::vector<std::string>();
  for (size_t b = 0; b < samples.loader->count(); ++b) {
    EDGETRAIN_CHECK(check_stop(&stop));
    EDGETRAIN_TAKE(const Batch batch, samples.loader->batch(b));
    EDGETRAIN_TAKE(const auto outputs, program->predict(batch));
    const Output* predicted = find_class(outputs);
    for (size_t i = 0; i < batch.size; ++i) {
      JsonLine line("prediction");
      line.add("index", uint64_t{samples.loader->row(b, i)});
      // What is made of numbers that are not finite says nothing.
      const bool finite = std::all_of(outputs.begin(), outputs.end(), [&](const Output& output) {
        const auto values = values_of(output, i, batch.size);
        return std::all_of(values.begin(), values.end(), [](double x) { return std::isfinite(x); });
      });
      const std::string numbers = role_json(outputs, Role::kOutput, i, batch.size);
      const std::string prediction = role_json(outputs, Role::kPrediction, i, batch.size);
      if (!numbers.empty()) line.add_raw("outputs", numbers);
      if (!prediction.empty()) line.add_raw("prediction", finite ? prediction : "null");
      if (predicted != nullptr && !classes.empty()) {
        const auto index = static_cast<size_t>(values_of(*predicted, i, batch.size)[0]);
        line.add_raw("class", finite ? std::to_string(index) : "null");
        if (finite && index < classes.size()) line.add("label", classes[index]);
      }
      EDGETRAIN_CHECK(line.print());
    }
  }
  return write_profile(arguments, *program);
}

}  // namespace edgetrain
