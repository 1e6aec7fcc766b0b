#pragma once

#include <cstddef>
#include <string>

#include "edgetrain/result.h"

namespace edgetrain {

/// A new version of a file, which takes the file's name only once it is whole and on disk. A crash, a full
/// disk or kill -9 leaves the old file or the new one.
class AtomicFile {
 public:
  /// Opens a temporary file beside `path`.
  static Result<AtomicFile> open(const std::string& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  /// Without commit() the temporary file is deleted and `path` stays as it was.
  ~AtomicFile();

  Status write(const void* data, size_t size);
  /// fsync, rename, fsync of the folder.
  Status commit();

 private:
  AtomicFile() = default;
  Failure error(int reason) const;
  std::string path_, temporary_;
  int handle_ = -1;
};

/// Finds out before hours of work that `path` can't be written in the end.
Status check_writable(const std::string& path);

/// Whether two paths name the same file, or would once it is there.
bool same_file(const std::string& a, const std::string& b);

}  // namespace edgetrain
