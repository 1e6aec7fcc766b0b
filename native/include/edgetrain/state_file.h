#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "edgetrain/result.h"

namespace edgetrain {

/// The state a run is resumed from: named byte strings in one file, replaced atomically, with a SHA-256 at
/// its end.
class StateFile {
 public:
  static Result<StateFile> read(const std::string& path);
  Status write(const std::string& path) const;

  /// The bytes stay the caller's and must outlive write(): weights are not copied to be saved.
  void put(const std::string& name, const void* data, size_t size);
  void put_text(const std::string& name, const std::string& text) { entries_[name].own = text; }
  void put_number(const std::string& name, uint64_t value);
  void put_real(const std::string& name, double value);

  /// An entry of a state that was read; null where there is none.
  const std::string* find(const std::string& name) const;
  /// A failure where the entry is missing or of another size.
  Result<uint64_t> number(const std::string& name) const;
  Result<double> real(const std::string& name) const;
  /// Copies an entry of exactly `size` bytes.
  Status copy(const std::string& name, void* to, size_t size) const;
  /// An entry as floats; empty where there is none.
  std::vector<float> floats(const std::string& name) const;

 private:
  struct Entry {
    std::string own;                 // the bytes, where they are the state's own
    const char* borrowed = nullptr;  // otherwise where they are
    size_t size = 0;
  };
  std::string path_ = "the state";
  std::map<std::string, Entry> entries_;
};

/// `tuned.state` beside `tuned.ptd`.
std::string state_path(const std::string& output);

}  // namespace edgetrain
