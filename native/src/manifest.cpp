#include "edgetrain/manifest.h"

#include <cmath>

#include "edgetrain/atomic_file.h"
#include "edgetrain/hashing.h"
#include "edgetrain/json.h"
#include "edgetrain/mapped_file.h"

namespace edgetrain {
namespace {

using Kind = Json::Kind;

/// Looks members up and remembers what is missing, so that callers check once.
class Fields {
 public:
  explicit Fields(const Json& root) : root_(root) {}
  const std::string& problem() const { return problem_; }

  const Json& at(const Json& object, const char* name, Kind kind) {
    static const Json nothing;
    const Json* value = object.find(name);
    if (value != nullptr && value->is(kind)) return *value;
    if (problem_.empty()) problem_ = std::string(name) + " is missing or of another type";
    return nothing;
  }
  const Json& at(const char* name, Kind kind) { return at(root_, name, kind); }

  int64_t whole(const Json& value) {
    // 2^53: beyond it a double can't tell neighbours apart.
    const bool fits = value.is(Kind::kNumber) && value.number == std::floor(value.number) &&
                      std::fabs(value.number) <= 9007199254740992.0;
    if (!fits && problem_.empty()) problem_ = "a size is no whole number";
    return fits ? static_cast<int64_t>(value.number) : 0;
  }

  FileRecord file(const Json& value) {
    return {at(value, "name", Kind::kString).string,
            static_cast<uint64_t>(whole(at(value, "bytes", Kind::kNumber))),
            at(value, "sha256", Kind::kString).string};
  }

  std::vector<std::string> texts(const Json& list) {
    std::vector<std::string> out;
    for (const Json& item : list.array) {
      if (!item.is(Kind::kString) && problem_.empty()) problem_ = "a name is no text";
      out.push_back(item.string);
    }
    return out;
  }

  std::vector<float> numbers(const Json& list) {
    std::vector<float> out;
    for (const Json& item : list.array) {
      if (!item.is(Kind::kNumber) && problem_.empty())
        problem_ = "mean or std holds something else than numbers";
      out.push_back(static_cast<float>(item.number));
    }
    return out;
  }

  std::vector<int64_t> shape(const Json& list) {
    std::vector<int64_t> out;
    for (const Json& item : list.array) out.push_back(whole(item));
    return out;
  }

  Preprocessing preprocessing() {
    const Json& value = at("preprocessing", Kind::kObject);
    Preprocessing out;
    out.scale = static_cast<float>(at(value, "scale", Kind::kNumber).number);
    out.mean = numbers(at(value, "mean", Kind::kArray));
    out.std = numbers(at(value, "std", Kind::kArray));
    bool usable = std::isfinite(out.scale) && !out.mean.empty() && out.mean.size() == out.std.size();
    for (const float deviation : out.std) usable = usable && deviation > 0 && std::isfinite(deviation);
    if (!usable && problem_.empty()) problem_ = "its preprocessing can't be used";
    return out;
  }

  /// Empty where there are none.
  std::vector<std::string> classes() {
    const Json* classes = at("task", Kind::kObject).find("classes");
    return classes != nullptr && classes->is(Kind::kArray) ? texts(*classes) : std::vector<std::string>();
  }

  TensorRecord tensor(const Json& value) {
    TensorRecord record;
    record.name = at(value, "name", Kind::kString).string;
    record.shape = shape(at(value, "shape", Kind::kArray));
    record.dtype = at(value, "dtype", Kind::kString).string;
    record.is_mutable = at(value, "mutable", Kind::kBool).boolean;
    if (const Json* offset = value.find("arena_offset"); offset != nullptr && offset->is(Kind::kNumber)) {
      record.arena_offset = static_cast<uint64_t>(whole(*offset));
    }
    return record;
  }

 private:
  const Json& root_;
  std::string problem_;
};

Result<std::string> read_text(const std::string& path) {
  EDGETRAIN_TAKE(const MappedFile file, MappedFile::open(path));
  return std::string(reinterpret_cast<const char*>(file.data()), file.size());
}

Failure no_manifest(const std::string& path, const std::string& why) {
  return bad_input(path + " is no manifest of this edgetrain (" + why + "); export again");
}

std::string record_json(const FileRecord& record) {
  return "{\n    \"name\": " + json_quoted(record.name) +
         ",\n    \"bytes\": " + std::to_string(record.bytes) + ",\n    \"sha256\": \"" + record.sha256 +
         "\"\n  }";
}

/// The text of a manifest with other records of its program.
Result<std::string> with_records(const std::string& path, const std::string& program,
                                 const std::string& previous) {
  EDGETRAIN_TAKE(std::string text, read_text(path));
  auto parsed = parse_json(text);
  if (!parsed.ok()) return no_manifest(path, parsed.failure().message);
  const Json* first = parsed->find("program");
  const Json* second = parsed->find("previous_program");
  if (first == nullptr) return no_manifest(path, "program is missing");
  const auto replace = [&text](const Json& value, const std::string& with) {
    text.replace(value.begin, value.end - value.begin, with);
  };
  // What comes later in the text first: the other one's place stays true.
  if (second != nullptr && second->begin > first->begin) replace(*second, previous);
  replace(*first, program + (second ? "" : ",\n  \"previous_program\": " + previous));
  if (second != nullptr && second->begin < first->begin) replace(*second, previous);
  return text;
}

}  // namespace

std::string manifest_path(const std::string& file) {
  const size_t slash = file.rfind('/');
  const size_t dot = file.rfind('.');
  const bool has_suffix = dot != std::string::npos && (slash == std::string::npos || dot > slash + 1);
  return (has_suffix ? file.substr(0, dot) : file) + ".json";
}

std::string file_name(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

Result<Manifest> load_manifest(const std::string& path) {
  EDGETRAIN_TAKE(const std::string text, read_text(path));
  auto parsed = parse_json(text);
  if (!parsed.ok()) return no_manifest(path, parsed.failure().message);
  Fields fields(*parsed);
  if (fields.whole(fields.at("schema_version", Kind::kNumber)) != 1)
    return no_manifest(path, "another schema");
  Manifest manifest;
  manifest.program = fields.file(fields.at("program", Kind::kObject));
  if (const Json* weights = parsed->find("weights"); weights != nullptr && !weights->is(Kind::kNull)) {
    manifest.weights = fields.file(*weights);
  }
  if (const Json* previous = parsed->find("previous_program"); previous && !previous->is(Kind::kNull)) {
    manifest.previous_program = fields.file(*previous);
  }
  manifest.pairing = fields.at("pairing", Kind::kString).string;
  manifest.preprocessing = fields.preprocessing();
  manifest.max_batch_size = fields.whole(fields.at("max_batch_size", Kind::kNumber));
  manifest.loss = fields.at(fields.at("task", Kind::kObject), "loss", Kind::kString).string;
  manifest.classes = fields.classes();
  manifest.gradients = fields.texts(fields.at("gradients", Kind::kArray));
  for (const Json& tensor : fields.at("tensors", Kind::kArray).array)
    manifest.tensors.push_back(fields.tensor(tensor));
  if (!fields.problem().empty()) return no_manifest(path, fields.problem());
  if (manifest.max_batch_size < 1) return no_manifest(path, "its max_batch_size is less than 1");
  return manifest;
}

Result<DatasetManifest> load_dataset_manifest(const std::string& path) {
  const auto refused = [&path](const std::string& why) {
    return bad_input(path + " is no manifest of packed data (" + why +
                     "); pack the data again, or move the file away");
  };
  EDGETRAIN_TAKE(const std::string text, read_text(path));
  auto parsed = parse_json(text);
  if (!parsed.ok()) return refused(parsed.failure().message);
  Fields fields(*parsed);
  const bool known = fields.whole(fields.at("schema_version", Kind::kNumber)) == 1 &&
                     fields.at("kind", Kind::kString).string == "edgetrain.dataset";
  if (!known) return refused("another schema");
  DatasetManifest manifest;
  manifest.file = fields.file(fields.at("file", Kind::kObject));
  manifest.preprocessing = fields.preprocessing();
  manifest.classes = fields.classes();
  if (!fields.problem().empty()) return refused(fields.problem());
  return manifest;
}

Status copy_manifest(const std::string& source, const std::string& target, const FileRecord& program) {
  const std::string beside = manifest_path(target);
  std::string previous = "null";
  if (file_exists(beside) && file_exists(target)) {
    // Only where the two manifests differ in nothing else does the new one describe the old program, too.
    const auto old = load_manifest(beside);
    EDGETRAIN_TAKE(const std::string ours, with_records(source, "", ""));
    if (old.ok() && check_program(target, *old).ok()) {
      EDGETRAIN_TAKE(const std::string theirs, with_records(beside, "", ""));
      EDGETRAIN_TAKE(const FileRecord record, make_file_record(target));
      if (ours == theirs) previous = record_json(record);
    }
  }
  EDGETRAIN_TAKE(const std::string text, with_records(source, record_json(program), previous));
  EDGETRAIN_TAKE(AtomicFile file, AtomicFile::open(beside));
  EDGETRAIN_CHECK(file.write(text.data(), text.size()));
  return file.commit();
}

Status check_program(const std::string& path, const Manifest& manifest) {
  if (manifest.previous_program && check_file(path, *manifest.previous_program).ok()) return {};
  return check_file(path, manifest.program);
}

Result<FileRecord> make_file_record(const std::string& path) {
  EDGETRAIN_TAKE(const MappedFile file, MappedFile::open(path));
  return FileRecord{file_name(path), file.size(), hex(sha256(file.data(), file.size()))};
}

Status check_file(const std::string& path, const FileRecord& record) {
  EDGETRAIN_TAKE(const FileRecord found, make_file_record(path));
  if (found.bytes != record.bytes) {
    return bad_input(path + " has " + std::to_string(found.bytes) + " bytes, its manifest says " +
                     std::to_string(record.bytes) + "; copy or export it again");
  }
  if (found.sha256 != record.sha256) {
    return bad_input(path + " differs from what its manifest describes (SHA-256); copy or export it again");
  }
  return {};
}

}  // namespace edgetrain
