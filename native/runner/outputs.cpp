#include "outputs.h"

#include <algorithm>
#include <cstdio>
#include <vector>

#include "edgetrain/atomic_file.h"
#include "edgetrain/finetune.h"

namespace edgetrain {
namespace {

/// All files that a command reads or could have read, whether they are there or not.
std::vector<std::string> inputs_of(const Arguments& arguments, const Program& program) {
  const ProgramFiles& files = program.files();
  std::vector<std::string> inputs = {arguments.job.program, manifest_path(arguments.job.program)};
  if (files.source()) inputs.push_back(files.source()->file().path());
  if (files.manifest && files.manifest->weights) {
    inputs.push_back(weights_path(arguments.job.program, *files.manifest->weights));
  }
  if (!arguments.job.history.empty()) inputs.push_back(arguments.job.history);
  for (const auto* paths : {&arguments.job.data, &arguments.job.validation}) {
    for (const auto& path : *paths) inputs.insert(inputs.end(), {path, manifest_path(path)});
  }
  return inputs;
}

std::vector<std::string> outputs_of(const Arguments& arguments, const Program& program) {
  std::vector<std::string> outputs;
  if (const std::string& output = arguments.job.output; !output.empty()) {
    outputs.insert(outputs.end(), {output, state_path(output)});
    if (!arguments.job.history.empty()) outputs.push_back(history_path(output));
    if (program.manifest() && !program.files().weights) outputs.push_back(manifest_path(output));
  }
  for (const auto& path : {arguments.gradients, arguments.profile}) {
    if (!path.empty()) outputs.push_back(path);
  }
  return outputs;
}

}  // namespace

Status check_outputs(const Arguments& arguments, const Program& program) {
  const auto inputs = inputs_of(arguments, program), outputs = outputs_of(arguments, program);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const auto is_it = [&](const std::string& other) { return same_file(outputs[i], other); };
    if (std::any_of(inputs.begin(), inputs.end(), is_it))
      return bad_usage({outputs[i], " is an input; name another output"});
    if (std::any_of(outputs.begin(), outputs.begin() + i, is_it))
      return bad_usage({outputs[i], " would be written twice; name another output"});
    EDGETRAIN_CHECK(check_writable(outputs[i]));
  }
  return {};
}

Status write_profile(const Arguments& arguments, const Program& program) {
  Profiler* profiler = program.profiler();
  if (profiler == nullptr || profiler->batches() == 0) return {};
  EDGETRAIN_CHECK(profiler->write(arguments.profile));
  std::fputs(profiler->table().c_str(), stderr);
  return {};
}

}  // namespace edgetrain
