#include <algorithm>
#include <cmath>

#include "commands.h"
#include "edgetrain/interrupt.h"
#include "edgetrain/json.h"
#include "outputs.h"
#include "samples.h"

namespace edgetrain {
namespace {

/// The outputs of one sample as JSON numbers.
std::string outputs_json(const executorch::aten::Tensor& outputs, size_t first, size_t count) {
  using executorch::aten::ScalarType;
  std::vector<std::string> numbers;
  for (size_t i = first; i < first + count; ++i) {
    double value = std::nan("");
    if (outputs.scalar_type() == ScalarType::Float) value = outputs.const_data_ptr<float>()[i];
    if (outputs.scalar_type() == ScalarType::Long)
      value = static_cast<double>(outputs.const_data_ptr<int64_t>()[i]);
    numbers.push_back(json_float(value));
  }
  return json_list(numbers);
}

}  // namespace

Status run_predict(const Arguments& arguments) {
  EDGETRAIN_TAKE(const auto program, open_program(arguments));
  EDGETRAIN_CHECK(check_outputs(arguments, *program));
  EDGETRAIN_TAKE(const size_t batch_size, choose_batch_size(arguments, *program));
  EDGETRAIN_TAKE(const Samples samples, open_samples(arguments, *program, arguments.data, batch_size, false));
  const Manifest* manifest = program->manifest();
  const bool classes = manifest && manifest->loss == "cross_entropy";
  for (size_t b = 0; b < samples.loader->count(); ++b) {
    EDGETRAIN_CHECK(check_interrupt());
    const Batch batch = samples.loader->batch(b);
    EDGETRAIN_TAKE(const auto outputs, program->predict(batch));
    const size_t width = static_cast<size_t>(outputs.numel()) / batch.size;
    for (size_t i = 0; i < batch.size; ++i) {
      JsonLine line("prediction");
      line.add("index", uint64_t{samples.loader->row(b, i)})
          .add_raw("outputs", outputs_json(outputs, i * width, width));
      if (classes && width > 0 && outputs.scalar_type() == executorch::aten::ScalarType::Float) {
        const float* logits = outputs.const_data_ptr<float>() + i * width;
        const auto best = static_cast<size_t>(std::max_element(logits, logits + width) - logits);
        const bool finite = std::all_of(logits, logits + width, [](float x) { return std::isfinite(x); });
        line.add_raw("class", finite ? std::to_string(best) : "null");
        if (finite && best < manifest->classes.size()) line.add("label", manifest->classes[best]);
      }
      EDGETRAIN_CHECK(line.print());
    }
  }
  return write_profile(arguments, *program);
}

}  // namespace edgetrain
