#pragma once

#include <cstddef>
#include <string>

#include "edgetrain/result.h"

namespace edgetrain {

/// What the names of temporary files end in, here and in `artifacts/temporary.py`.
inline constexpr char kTemporarySuffix[] = ".edgetrain-tmp";

/// A new version of a file, which takes the file's name only once it is whole and on disk. A crash, a full
/// disk or kill -9 leaves the old file or the new one.
class AtomicFile {
 public:
  /// Opens a temporary file beside `path`, locked as long as this process lives.
  static Result<AtomicFile> open(const std::string& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;
  /// Without commit() the temporary file is deleted and `path` stays as it was.
  ~AtomicFile();

  Status write(const void* data, size_t size);
  /// finish(), rename, fsync of the folder.
  Status commit();
  /// Puts what was written on disk.
  Status finish();
  /// Leaves the temporary file to somebody who moves it.
  void release() { temporary_.clear(); }

  const std::string& path() const { return path_; }
  const std::string& temporary() const { return temporary_; }

 private:
  AtomicFile() = default;
  Failure error(int reason) const;
  std::string path_, temporary_;
  int handle_ = -1;
};

/// Finds out before hours of work that `path` can't be written in the end. What dead processes left of it is
/// completed, or removed.
Status check_writable(const std::string& path);

/// Whether two paths name the same file, or would once it is there.
bool same_file(const std::string& a, const std::string& b);

}  // namespace edgetrain
