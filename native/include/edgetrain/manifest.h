#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "edgetrain/result.h"

namespace edgetrain {

/// A file beside the manifest.
struct FileRecord {
  std::string name;
  uint64_t bytes = 0;
  std::string sha256;
};

/// A parameter or buffer of the program.
struct TensorRecord {
  std::string name;
  std::vector<int64_t> shape;
  std::string dtype;
  bool is_mutable = false;
  std::optional<uint64_t> arena_offset;  ///< of mutable ones, in the weights' arena
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

/// What the runner needs of NAME.json.
struct Manifest {
  FileRecord program;
  /// What the manifest vouches for as well, since it is replaced before its program.
  std::optional<FileRecord> previous_program;
  std::optional<FileRecord> weights;  ///< none where the weights are inside the program
  std::string pairing;
  Preprocessing preprocessing;
  int64_t max_batch_size = 0;
  std::string loss;
  std::vector<std::string> classes;
  std::vector<std::string> gradients;  ///< parameter names in the order `train` returns them
  std::vector<TensorRecord> tensors;
};

/// What the runner needs of the manifest of packed data.
struct DatasetManifest {
  FileRecord file;
  Preprocessing preprocessing;
  std::vector<std::string> classes;  ///< empty where the targets are no classes
};

/// NAME.pte or NAME.ptd → NAME.json.
std::string manifest_path(const std::string& file);

Result<Manifest> load_manifest(const std::string& path);

Result<DatasetManifest> load_dataset_manifest(const std::string& path);

/// Writes a copy of the manifest at `source` beside `target`, for the program that `target` becomes next.
/// Where an older version of it lies there, the manifest fits both. Atomic.
Status copy_manifest(const std::string& source, const std::string& target, const FileRecord& program);

/// A program against its manifest.
Status check_program(const std::string& path, const Manifest& manifest);

/// Size and SHA-256 of a file against its record.
Status check_file(const std::string& path, const FileRecord& record);

Result<FileRecord> make_file_record(const std::string& path);

/// The last part of a path.
std::string file_name(const std::string& path);

}  // namespace edgetrain
