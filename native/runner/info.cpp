#include <cstring>
#include <map>

#include "commands.h"
#include "edgetrain/flat_tensor.h"
#include "edgetrain/json.h"
#include "json_line.h"
#include "setup.h"

namespace edgetrain {
namespace {

template <typename Items, typename Visit>
std::string object_json(const Items& items, const Visit& member) {
  std::string text = "{";
  for (const auto& item : items) text += (text.size() > 1 ? ", " : "") + member(item);
  return text + "}";
}

std::string described(const std::string& name, const std::vector<int64_t>& shape, int8_t dtype) {
  return json_quoted(name) + ": {\"shape\": " + json_list(shape) +
         ", \"dtype\": " + json_quoted(dtype_name(dtype)) + "}";
}

Status describe_tensors(const std::string& path) {
  EDGETRAIN_TAKE(const TensorFile tensors, TensorFile::open(path));
  JsonLine line("tensors");
  line.add("file", path)
      .add("bytes", uint64_t{tensors.file().size()})
      .add("digest", tensors.digest_offset().has_value())
      .add("pairing", tensors.pairing())
      .add_raw("tensors", object_json(tensors.entries(), [](const TensorEntry& entry) {
                 return described(entry.name, entry.shape, entry.dtype);
               }));
  // Texts of ours are JSON.
  for (const auto& [name, text] : tensors.metadata()) {
    if (parse_json(text).ok()) line.add_raw(name.substr(name.rfind('.') + 1), text);
  }
  return line.print();
}

std::string samples_json(const std::vector<const Argument*>& arguments) {
  return object_json(arguments, [](const Argument* a) { return described(a->name, a->shape, a->dtype); });
}

}  // namespace

Status run_info(Arguments& arguments) {
  const std::string& path = arguments.job.program;
  {
    EDGETRAIN_TAKE(const MappedFile file, MappedFile::open(path));
    if (file.size() >= 8 && std::memcmp(file.data() + 4, "FT01", 4) == 0) return describe_tensors(path);
  }
  EDGETRAIN_TAKE(const auto program, open_program(arguments));
  // Whether our kernels cover a call is known when it is made.
  EDGETRAIN_CHECK(program->try_out());
  std::map<std::string, std::vector<int64_t>> arenas;
  for (const auto& name : program->methods()) {
    EDGETRAIN_TAKE(arenas[name], program->arena_bytes(name));
  }
  std::vector<std::string> quoted;
  for (const auto& name : program->stock_operators()) quoted.push_back(json_quoted(name));
  const Contract& contract = program->contract();
  const TensorFile* weights = program->files().source();
  return JsonLine("program")
      .add("file", path)
      .add("bytes", uint64_t{program->files().program.size()})
      .add("manifest", program->manifest() != nullptr)
      .add("weights", weights ? weights->file().path() : std::string())
      .add("max_batch_size", uint64_t{contract.most_batch})
      .add("fixed_batch_size", contract.fixed_batch())
      .add("splits_batches", contract.splits_batches)
      .add_raw("optimizer",
               contract.optimizer ? "{" + contract.optimizer->members("optimizer") + "}" : "null")
      .add_raw("inputs", samples_json(contract.inputs()))
      .add_raw("targets", samples_json(contract.targets()))
      .add_raw("arena_bytes", object_json(arenas,
                                          [](const auto& arena) {
                                            return json_quoted(arena.first) + ": " + json_list(arena.second);
                                          }))
      .add_raw("stock_kernels", json_list(quoted))
      .add_raw("trainable", object_json(program->parameters(),
                                        [](const Parameter& p) {
                                          return json_quoted(p.name) + ": " + std::to_string(p.count);
                                        }))
      .print();
}

}  // namespace edgetrain
