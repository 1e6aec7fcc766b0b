#include "edgetrain/manifest.h"

#include "edgetrain/hashing.h"
#include "edgetrain/json.h"
#include "edgetrain/mapped_file.h"
#include "json_fields.h"
#include "preprocessing_json.h"
#include "read_contract.h"
#include "sealed.h"

namespace edgetrain {
namespace {

using Kind = Json::Kind;

using Fields = JsonFields;

FileRecord read_file(Fields& fields, const Json& value) {
  return {fields.text(value, "name"), static_cast<uint64_t>(fields.whole(value, "bytes")),
          fields.text(value, "sha256")};
}

std::optional<FileRecord> maybe_file(Fields& fields, const Json& root, const char* name) {
  const Json* value = fields.find(root, name, Kind::kObject);
  return value == nullptr ? std::nullopt : std::optional<FileRecord>(read_file(fields, *value));
}

/// Of each input.
PreprocessingByInput read_inputs(Fields& fields, const Json& root) {
  PreprocessingByInput all;
  for (const auto& [name, input] : fields.at(root, "inputs", Kind::kObject).object) {
    all[name] = read_preprocessing(fields, fields.at(input, "preprocessing", Kind::kObject));
  }
  return all;
}

/// Empty where there are none.
std::vector<std::string> read_classes(Fields& fields, const Json& task) {
  const Json* classes = fields.find(task, "classes", Kind::kArray);
  return classes == nullptr ? std::vector<std::string>() : fields.texts(*classes);
}

Failure no_manifest(const std::string& path, const std::string& why) {
  return bad_input({path, " is no manifest of this edgetrain (", why, "); export again"});
}

std::string record_json(const FileRecord& record) {
  return "{\n    \"name\": " + json_quoted(record.name) +
         ",\n    \"bytes\": " + std::to_string(record.bytes) + ",\n    \"sha256\": \"" + record.sha256 +
         "\"\n  }";
}

}  // namespace

std::string with_suffix(const std::string& path, const std::string& suffix) {
  const size_t start = folder_part(path).size(), dot = path.rfind('.');
  const bool has_suffix = dot != std::string::npos && dot > start;
  return (has_suffix ? path.substr(0, dot) : path) + suffix;
}

std::string manifest_path(const std::string& file) { return with_suffix(file, ".json"); }

std::string folder_part(const std::string& path) { return path.substr(0, path.rfind('/') + 1); }

std::string file_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

Result<Manifest> load_manifest(const std::string& path) {
  EDGETRAIN_TAKE(const std::string text, read_text(path));
  auto parsed = parse_json(text);
  if (!parsed.ok()) return no_manifest(path, parsed.failure().message);
  const Json& root = *parsed;
  Fields fields;
  if (fields.whole(root, "schema_version") != 5) return no_manifest(path, "another schema");
  Manifest manifest;
  manifest.program = read_file(fields, fields.at(root, "program", Kind::kObject));
  manifest.weights = maybe_file(fields, root, "weights");
  manifest.pairing = fields.text(root, "pairing");
  manifest.preprocessing = read_inputs(fields, root);
  manifest.classes = read_classes(fields, fields.at(root, "task", Kind::kObject));
  manifest.contract = read_contract(fields, fields.at(root, "contract", Kind::kObject));
  if (!fields.ok()) return no_manifest(path, fields.problem());
  EDGETRAIN_CHECK(check_seal(path, text, root));
  return manifest;
}

Result<DatasetManifest> load_dataset_manifest(const std::string& path) {
  const auto refused = [&path](const std::string& why) {
    return bad_input(
        {path, " is no manifest of packed data (", why, "); pack the data again, or move the file away"});
  };
  EDGETRAIN_TAKE(const std::string text, read_text(path));
  auto parsed = parse_json(text);
  if (!parsed.ok()) return refused(parsed.failure().message);
  const Json& root = *parsed;
  Fields fields;
  const bool known =
      fields.whole(root, "schema_version") == 3 && fields.text(root, "kind") == "edgetrain.dataset";
  if (!known) return refused("another schema");
  DatasetManifest manifest;
  manifest.file = read_file(fields, fields.at(root, "file", Kind::kObject));
  manifest.preprocessing = read_inputs(fields, root);
  manifest.classes = read_classes(fields, root);
  if (!fields.ok()) return refused(fields.problem());
  EDGETRAIN_CHECK(check_seal(path, text, root));
  return manifest;
}

Result<std::string> manifest_for(const std::string& path, const FileRecord& program) {
  EDGETRAIN_TAKE(std::string text, read_text(path));
  auto parsed = parse_json(text);
  if (!parsed.ok()) return no_manifest(path, parsed.failure().message);
  const Json* record = parsed->find("program");
  if (record == nullptr) return no_manifest(path, "program is missing");
  text.replace(record->begin, record->end - record->begin, record_json(program));
  // Places of values have moved.
  EDGETRAIN_TAKE(const Json changed, parse_json(text));
  return sealed(std::move(text), changed);
}

Result<FileRecord> make_file_record(const std::string& path) {
  EDGETRAIN_TAKE(const MappedFile file, MappedFile::open(path));
  return FileRecord{file_name(path), file.size(), hex(sha256(file.data(), file.size()))};
}

Status check_file(const std::string& path, const FileRecord& record) {
  EDGETRAIN_TAKE(const FileRecord found, make_file_record(path));
  if (found.bytes != record.bytes) {
    return bad_input({path, " has ", found.bytes, " bytes, its manifest says ", record.bytes,
                      "; copy or export it again"});
  }
  if (found.sha256 != record.sha256) {
    return bad_input({path, " differs from what its manifest describes (SHA-256); copy or export it again"});
  }
  return {};
}

}  // namespace edgetrain
