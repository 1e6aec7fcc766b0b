#include "outputs.h"

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

}  // namespace edgetrain
