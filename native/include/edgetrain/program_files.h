#pragma once

#include <optional>
#include <string>

#include "edgetrain/flat_tensor.h"
#include "edgetrain/manifest.h"
#include "edgetrain/mapped_file.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// A program's files, checked against each other before the runtime sees any of them.
struct ProgramFiles {
  MappedFile program;
  std::optional<TensorFile> weights;  ///< none where the weights are inside the program
  std::optional<Manifest> manifest;   ///< none for programs that edgetrain did not export

  /// @param weights a .ptd to use instead of the one the program was exported with; may be empty. Its own
  /// digest
  ///     vouches for it then, since the manifest knows only the exported one.
  static Result<ProgramFiles> open(const std::string& program, const std::string& weights);
};

/// Where the weights lie that the manifest of `program` names.
std::string weights_path(const std::string& program, const FileRecord& record);

}  // namespace edgetrain
