#pragma once

#include <optional>
#include <string>

#include "edgetrain/flat_tensor.h"
#include "edgetrain/manifest.h"
#include "edgetrain/mapped_file.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// What a file of weights holds: all of a program's, those that training changes, or by how much these differ
/// from a base.
enum class Holds { kFull, kTrainable, kDelta };

/// A program's files, checked against each other before the runtime sees any of them.
struct ProgramFiles {
  MappedFile program;
  std::optional<TensorFile> weights;  ///< all of them; none where they are inside the program
  std::optional<TensorFile> change;   ///< what goes on top of these
  Holds change_holds = Holds::kFull;
  std::optional<Manifest> manifest;  ///< none for programs that edgetrain did not export

  /// @param weights a .ptd to use instead of the one the program was exported with; may be empty. Its own
  ///     digest vouches for it then, since the manifest knows only the exported one. One that does not hold
  ///     all weights is taken on top of the exported one, which it names by hash.
  static Result<ProgramFiles> open(const std::string& program, const std::string& weights);

  /// The file the weights came from; null where they are inside the program.
  const TensorFile* source() const { return change ? &*change : weights ? &*weights : nullptr; }

 private:
  Status take_weights(const std::string& path);
};

/// Where the weights lie that the manifest of `program` names.
std::string weights_path(const std::string& program, const FileRecord& record);

/// The full weights the program was exported with, against their record.
Result<TensorFile> open_exported_weights(const std::string& program, const Manifest& manifest);

}  // namespace edgetrain
