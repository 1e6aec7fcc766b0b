#include "run_state.h"

#include <algorithm>
#include <cstring>

#include "edgetrain/tensor_writer.h"
#include "json_fields.h"

namespace edgetrain {
namespace {

using Kind = Json::Kind;

constexpr char kRuntime[] = "native";
constexpr char kWeights[] = "weights/", kBest[] = "best/";

/// The whole numbers of a record, by their names.
template <typename Record>
auto counters(Record& record) {
  return std::vector<std::pair<const char*, decltype(&record.step)>>{
      {"total_steps", &record.total_steps},
      {"epoch", &record.epoch},
      {"batch", &record.batch},
      {"step", &record.step},
      {"optimizer_steps", &record.optimizer_steps},
      {"samples", &record.meter.samples}};
}

/// An object of values that are JSON already.
std::string object_json(const std::map<std::string, std::string>& values) {
  std::string text = "{";
  for (const auto& [name, value] : values)
    text += (text.size() > 1 ? ", " : "") + json_quoted(name) + ": " + value;
  return text + "}";
}

std::string record_json(const RunRecord& record) {
  std::map<std::string, std::string> source, sums, all;
  for (const auto& [what, hash] : record.source) source[what] = json_quoted(hash);
  for (const auto& [name, values] : record.meter.sums) {
    std::vector<std::string> numbers;
    // NaN in a sum means a loss that is not finite, which ends a run before it is saved.
    for (const double value : values) numbers.push_back(json_number(value));
    sums[name] = json_list(numbers);
  }
  for (const auto& [name, value] : counters(record)) all[name] = std::to_string(*value);
  all["schema_version"] = "1";
  all["runtime"] = json_quoted(kRuntime);
  all["source"] = object_json(source);
  all["config"] = object_json(record.config);
  all["sums"] = object_json(sums);
  all["train_time_s"] = json_number(record.train_time_s);
  all["epochs"] = json_list(record.epochs);
  all["best_epoch"] = record.best_epoch ? std::to_string(*record.best_epoch) : "null";
  return object_json(all);
}

/// @param text what was parsed
RunRecord read_record(JsonFields& fields, const Json& json, const std::string& text) {
  const auto as_text = [&text](const Json& value) {
    return text.substr(value.begin, value.end - value.begin);
  };
  RunRecord record;
  if (fields.whole(json, "schema_version") != 1) fields.wrong("another schema");
  for (const auto& [what, hash] : fields.at(json, "source", Kind::kObject).object)
    record.source[what] = hash.string;
  for (const auto& [name, section] : fields.at(json, "config", Kind::kObject).object) {
    record.config[name] = as_text(section);
  }
  for (const auto& [name, values] : fields.at(json, "sums", Kind::kObject).object) {
    record.meter.sums[name] = fields.reals(values);
  }
  for (const auto& [name, value] : counters(record)) *value = static_cast<uint64_t>(fields.whole(json, name));
  record.train_time_s = fields.real(json, "train_time_s");
  for (const Json& epoch : fields.at(json, "epochs", Kind::kArray).array)
    record.epochs.push_back(as_text(epoch));
  if (const Json* best = fields.find(json, "best_epoch", Kind::kNumber)) {
    record.best_epoch = static_cast<uint64_t>(fields.whole(*best));
    if (*record.best_epoch >= record.epochs.size()) fields.wrong("its best epoch is none of its epochs");
  }
  return record;
}

}  // namespace

Failure RunState::unusable() const {
  return bad_input(
      {file_.file().path(), " is no usable state of a fine-tuning run; start anew without --resume"});
}

Result<AtomicFile> RunState::new_file(const std::string& path, const RunRecord& record,
                                      const Program& program, const Stepper& stepper,
                                      const KeptWeights& best) {
  std::vector<NamedTensor> tensors;
  for (const auto& tensor : program.changed()) {
    tensors.push_back({kWeights + tensor.name, tensor.shape, tensor.dtype, tensor.data, tensor.bytes});
  }
  for (size_t i = 0; i < best.size(); ++i) {
    const auto& tensor = program.changed()[i];
    tensors.push_back({kBest + tensor.name, tensor.shape, tensor.dtype, best.data(i), tensor.bytes});
  }
  const auto memory = stepper.memory();
  tensors.insert(tensors.end(), memory.begin(), memory.end());
  return new_tensors(path, tensors, {{kStateKey, record_json(record)}});
}

Result<RunState> RunState::open(const std::string& path) {
  if (!file_exists(path)) {
    return bad_input({"there is nothing to resume: ", path, " does not exist; fine-tune without --resume"});
  }
  auto opened = TensorFile::open(path);
  if (!opened.ok())
    return bad_input({path, " is no usable state of a fine-tuning run; start anew without --resume"});
  RunState state(std::move(*opened));
  const auto text = state.file_.metadata().find(kStateKey);
  if (text == state.file_.metadata().end() || !state.file_.digest_offset()) return state.unusable();
  const auto parsed = parse_json(text->second);
  if (!parsed.ok()) return state.unusable();
  JsonFields fields;
  state.record = read_record(fields, *parsed, text->second);
  const std::string& runtime = fields.text(*parsed, "runtime");
  if (!fields.ok()) return state.unusable();
  if (runtime != kRuntime) {
    return bad_usage({path, " is the state of a run with the runtime ", runtime,
                      "; go on there, or start anew without --resume"});
  }
  return state;
}

Status RunState::restore(const Program& program, Stepper& stepper, KeptWeights& best) const {
  const auto& changed = program.changed();
  const auto take = [&](const char* prefix) {
    return std::all_of(changed.begin(), changed.end(), [&](const LiveTensor& tensor) {
      const TensorEntry* entry = file_.find(prefix + tensor.name);
      if (entry == nullptr || entry->size != tensor.bytes || entry->dtype != tensor.dtype) return false;
      std::memcpy(tensor.data, file_.data(*entry), tensor.bytes);
      return true;
    });
  };
  // The best ones pass through the program's memory as well.
  if (!changed.empty() && file_.find(kBest + changed[0].name) != nullptr) {
    if (!take(kBest)) return unusable();
    best.keep(program);
  }
  if (!take(kWeights)) return unusable();
  return stepper.restore(record.optimizer_steps, file_) ? Status() : Status(unusable());
}

}  // namespace edgetrain
