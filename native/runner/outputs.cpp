#include "outputs.h"

#include <cstdio>
#include <vector>

#include "edgetrain/atomic_file.h"

namespace edgetrain {

Status check_output(const Arguments& arguments, const Program& program, const std::string& path) {
  std::vector<std::string> inputs = arguments.data;
  inputs.insert(inputs.end(), arguments.validation.begin(), arguments.validation.end());
  inputs.push_back(arguments.program);
  if (program.files().weights) inputs.push_back(program.files().weights->file().path());
  for (const auto& input : inputs) {
    if (same_file(input, path)) return bad_usage(path + " is an input; name another output");
  }
  return check_writable(path);
}

Status check_profile(const Arguments& arguments, const Program& program) {
  return arguments.profile.empty() ? Status() : check_output(arguments, program, arguments.profile);
}

Status write_profile(const Arguments& arguments, const Program& program) {
  Profiler* profiler = program.profiler();
  if (profiler == nullptr || profiler->batches() == 0) return {};
  EDGETRAIN_CHECK(profiler->write(arguments.profile));
  std::fputs(profiler->table().c_str(), stderr);
  return {};
}

}  // namespace edgetrain
