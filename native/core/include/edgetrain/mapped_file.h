#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "edgetrain/result.h"

namespace edgetrain {

/// A file mapped read-only. The bytes stay valid as long as the object lives and the file isn't cut short in
/// place; a file that is replaced by a rename stays mapped as it was.
class MappedFile {
 public:
  static Result<MappedFile> open(const std::string& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  /// Lets the system take the pages' memory back; they are read again when they are needed.
  void release_pages() const;
  const std::string& path() const { return path_; }

 private:
  MappedFile() = default;
  std::string path_;
  const uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

bool file_exists(const std::string& path);

/// The whole file.
Result<std::string> read_text(const std::string& path);

}  // namespace edgetrain
