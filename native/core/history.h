#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "edgetrain/atomic_file.h"
#include "edgetrain/json.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// history.json of a run, in the one format of `artifacts/history.py`. Whoever starts a run gives it a
/// history without epochs, which says what is being run; this fills in what only the run finds out.
class History {
 public:
  /// @param path of a history without epochs
  static Result<History> open(const std::string& path);
  /// The history as it is by now, which waits to take its name.
  /// @param epochs finished ones, each a JSON object
  /// @param kept_epoch whose weights are the output, where that is not always the last
  Result<AtomicFile> new_file(const std::string& path, const std::vector<std::string>& epochs,
                              std::optional<uint64_t> kept_epoch) const;

 private:
  History(std::string text, Json root) : text_(std::move(text)), root_(std::move(root)) {}
  std::string text_;
  Json root_;
};

}  // namespace edgetrain
