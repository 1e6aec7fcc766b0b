#include "edgetrain/job.h"

#include <algorithm>

#include "edgetrain/mapped_file.h"
#include "json_fields.h"
#include "preprocessing_json.h"

namespace edgetrain {
namespace {

using Kind = Json::Kind;

constexpr const char* kKnown[] = {"schema_version", "kind",      "program",  "weights",   "data",
                                  "validation",     "output",    "history",  "resume",    "preprocessing",
                                  "augmentation",   "log_steps", "finetune", "optimizer", "schedule"};

Status read_job(JsonFields& fields, const Json& json, const std::string& folder, Job& job) {
  for (const auto& member : json.object) {
    const auto is_it = [&member](const char* known) { return member.first == known; };
    if (std::none_of(std::begin(kKnown), std::end(kKnown), is_it)) fields.wrong(member.first + " is unknown");
  }
  if (fields.whole(json, "schema_version") != 1 || fields.text(json, "kind") != "edgetrain.job") {
    fields.wrong("another schema");
  }
  const auto placed = [&folder](const std::string& path) { return path[0] == '/' ? path : folder + path; };
  const auto file = [&](const char* name) {
    const Json* value = fields.find(json, name, Kind::kString);
    return value == nullptr || value->string.empty() ? std::string() : placed(value->string);
  };
  const auto files = [&](const char* name, std::vector<std::string>& paths) {
    const Json* list = fields.find(json, name, Kind::kArray);
    if (list != nullptr) paths = fields.texts(*list);
    for (auto& path : paths) path = placed(path);
  };
  const auto flag = [&](const char* name) {
    const Json* value = fields.find(json, name, Kind::kBool);
    return value != nullptr && value->boolean;
  };
  job.program = file("program");
  job.weights = file("weights");
  job.output = file("output");
  job.history = file("history");
  files("data", job.data);
  files("validation", job.validation);
  job.resume = flag("resume");
  job.log_steps = flag("log_steps");
  if (const Json* inputs = fields.find(json, "preprocessing", Kind::kObject)) {
    for (const auto& [name, value] : inputs->object)
      job.preprocessing[name] = read_preprocessing(fields, value);
  }
  if (const Json* augmentation = fields.find(json, "augmentation", Kind::kObject)) {
    if (const Json* images = fields.find(*augmentation, "images", Kind::kArray))
      job.images = fields.texts(*images);
    if (const Json* masks = fields.find(*augmentation, "masks", Kind::kObject)) {
      for (const auto& [name, fill] : masks->object) job.masks[name] = fields.whole(fill);
    }
  }
  if (!fields.ok()) return bad_input(fields.problem());
  for (const char* section : {"finetune", "optimizer", "schedule", "augmentation"}) {
    if (const Json* object = fields.find(json, section, Kind::kObject)) {
      // The first two are choices that only Python has.
      EDGETRAIN_CHECK(job.settings.read(section, *object, {"runtime", "kernels", "images", "masks"}));
    }
  }
  return fields.ok() ? Status() : Status(bad_input(fields.problem()));
}

}  // namespace

Augmentation Job::augmentation() const {
  return {settings.on("augmentation", "flip"),
          static_cast<uint32_t>(settings.whole("augmentation", "crop_padding")), images, masks};
}

Result<Job> load_job(const std::string& path) {
  EDGETRAIN_TAKE(const std::string text, read_text(path));
  const auto parsed = parse_json(text);
  Job job;
  JsonFields fields;
  const Status read =
      parsed.ok() ? read_job(fields, *parsed, folder_part(path), job) : Status(parsed.failure());
  if (!read.ok()) {
    return bad_input(
        {path, " is no job of this edgetrain (", read.failure().message, "); write it again or correct it"});
  }
  return job;
}

}  // namespace edgetrain
