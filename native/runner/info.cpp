#include <cstring>

#include "commands.h"
#include "edgetrain/json.h"
#include "samples.h"

namespace edgetrain {

Status run_info(const Arguments& arguments) {
  {
    EDGETRAIN_TAKE(const MappedFile file, MappedFile::open(arguments.program));
    if (file.size() >= 8 && std::memcmp(file.data() + 4, "FT01", 4) == 0) {
      EDGETRAIN_TAKE(const TensorFile tensors, TensorFile::open(arguments.program));
      std::string list = "{";
      for (const auto& entry : tensors.entries()) {
        list += (list.size() > 1 ? ", " : "") + json_quoted(entry.name) +
                ": {\"shape\": " + json_list(entry.shape) +
                ", \"dtype\": " + json_quoted(dtype_name(entry.dtype)) + "}";
      }
      return JsonLine("tensors")
          .add("file", arguments.program)
          .add("bytes", uint64_t{file.size()})
          .add("digest", tensors.digest_offset().has_value())
          .add("pairing", tensors.pairing())
          .add_raw("tensors", list + "}")
          .print();
    }
  }
  EDGETRAIN_TAKE(const auto program, open_program(arguments));
  // Whether our kernels cover a call is known when it is made.
  EDGETRAIN_CHECK(program->try_out());
  std::string methods = "{", parameters = "{";
  for (const auto& name : program->methods()) {
    EDGETRAIN_TAKE(const auto arenas, program->arena_bytes(name));
    methods += (methods.size() > 1 ? ", " : "") + json_quoted(name) + ": " + json_list(arenas);
  }
  for (const auto& parameter : program->parameters()) {
    parameters += (parameters.size() > 1 ? ", " : "") + json_quoted(parameter.name) + ": " +
                  std::to_string(parameter.count);
  }
  std::vector<std::string> quoted;
  for (const auto& name : program->stock_operators()) quoted.push_back(json_quoted(name));
  return JsonLine("program")
      .add("file", arguments.program)
      .add("bytes", uint64_t{program->files().program.size()})
      .add("manifest", program->manifest() != nullptr)
      .add("weights", program->files().weights ? program->files().weights->file().path() : std::string())
      .add("max_batch_size", uint64_t{program->max_batch_size()})
      .add("fixed_batch_size", program->fixed_batch_size())
      .add_raw("sample_shape", json_list(program->inputs().shape))
      .add_raw("arena_bytes", methods + "}")
      .add_raw("stock_kernels", json_list(quoted))
      .add_raw("trainable", parameters + "}")
      .print();
}

}  // namespace edgetrain
