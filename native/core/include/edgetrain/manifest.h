#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "edgetrain/contract.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// A file beside the manifest.
struct FileRecord {
  std::string name;
  uint64_t bytes = 0;
  std::string sha256;
};

/// From a stored sample to the model's input: (x * scale - mean) / std, per channel or for all.
struct Preprocessing {
  float scale = 1;
  std::vector<float> mean{0};
  std::vector<float> std{1};
  bool operator==(const Preprocessing& other) const {
    return scale == other.scale && mean == other.mean && std == other.std;
  }
};
using PreprocessingByInput = std::map<std::string, Preprocessing>;

/// What is needed of NAME.json.
struct Manifest {
  FileRecord program;
  std::optional<FileRecord> weights;  ///< none where the weights are inside the program
  std::string pairing;
  PreprocessingByInput preprocessing;
  std::vector<std::string> classes;  ///< names by label; empty where there are none
  Contract contract;
};

/// What is needed of the manifest of packed data.
struct DatasetManifest {
  FileRecord file;
  PreprocessingByInput preprocessing;
  std::vector<std::string> classes;  ///< empty where the targets are no classes
};

/// NAME.pte or NAME.ptd → NAME.json.
std::string manifest_path(const std::string& file);

Result<Manifest> load_manifest(const std::string& path);

Result<DatasetManifest> load_dataset_manifest(const std::string& path);

/// The text of the manifest at `path`, for another version of its program.
Result<std::string> manifest_for(const std::string& path, const FileRecord& program);

/// Size and SHA-256 of a file against its record.
Status check_file(const std::string& path, const FileRecord& record);

Result<FileRecord> make_file_record(const std::string& path);

/// The last part of a path, all before it, and the path with other letters behind the last dot of its name.
std::string file_name(const std::string& path);
std::string folder_part(const std::string& path);
std::string with_suffix(const std::string& path, const std::string& suffix);

}  // namespace edgetrain
