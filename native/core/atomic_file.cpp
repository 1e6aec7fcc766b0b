#include "edgetrain/atomic_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

namespace edgetrain {
namespace {

std::string folder_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

mode_t usual_mode() {
  const mode_t mask = ::umask(0);
  ::umask(mask);
  return 0666 & ~mask;
}

/// Deletes the temporary files of processes that were killed.
void remove_abandoned(const std::string& folder, const std::string& stem) {
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error), end;
  for (; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (name.size() != stem.size() + 6 || name.compare(0, stem.size(), stem) != 0) continue;
    const int handle = ::open(entry->path().c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (handle < 0) continue;
    if (::flock(handle, LOCK_EX | LOCK_NB) == 0) ::unlink(entry->path().c_str());
    ::close(handle);
  }
}

}  // namespace

Result<AtomicFile> AtomicFile::open(const std::string& path) {
  AtomicFile file;
  file.path_ = path;
  struct stat about{};
  // A rename over a device or a folder would replace it, or fail after all the work.
  if (::stat(path.c_str(), &about) == 0 && !S_ISREG(about.st_mode)) {
    return bad_usage({path, " is no ordinary file; name a file to write"});
  }
  const size_t slash = path.rfind('/');
  const size_t start = slash == std::string::npos ? 0 : slash + 1;
  const std::string stem = "." + path.substr(start) + ".";
  remove_abandoned(folder_of(path), stem);
  std::string name = path.substr(0, start) + stem + "XXXXXX";
  file.handle_ = ::mkstemp(name.data());
  if (file.handle_ < 0) return file.error(errno);
  file.temporary_ = name;
  // Says as long as this process lives that the file is in use. Where locks are unknown, none is abandoned.
  (void)::flock(file.handle_, LOCK_EX | LOCK_NB);
  return file;
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      handle_(std::exchange(other.handle_, -1)) {}

AtomicFile::~AtomicFile() {
  if (handle_ >= 0) ::close(handle_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Status AtomicFile::write(const void* data, size_t size) {
  const auto* bytes = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::write(handle_, bytes, std::min<size_t>(size, size_t{1} << 30));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return error(written < 0 ? errno : ENOSPC);
    bytes += written;
    size -= static_cast<size_t>(written);
  }
  return {};
}

Status AtomicFile::commit() {
  // mkstemp makes files private; a result is as readable as any other new file.
  if (::fchmod(handle_, usual_mode()) != 0 || ::fsync(handle_) != 0) return error(errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return error(errno);
  temporary_.clear();
  const int folder = ::open(folder_of(path_).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return {};
  // Some file systems can't sync folders; the file is whole all the same.
  const int reason = ::fsync(folder) == 0 || errno == EINVAL || errno == ENOTSUP ? 0 : errno;
  ::close(folder);
  return reason == 0 ? Status() : Status(error(reason));
}

Failure AtomicFile::error(int reason) const {
  return failed(
      {"can't write ", path_, ": ", std::strerror(reason), "; make room or choose another place with -o"});
}

Status check_writable(const std::string& path) {
  auto file = AtomicFile::open(path);
  return file.ok() ? Status() : Status(file.failure());
}

bool same_file(const std::string& a, const std::string& b) {
  const auto same = [](const std::string& one, const std::string& other) {
    struct stat first{}, second{};
    return ::stat(one.c_str(), &first) == 0 && ::stat(other.c_str(), &second) == 0 &&
           first.st_dev == second.st_dev && first.st_ino == second.st_ino;
  };
  const auto name = [](const std::string& path) { return path.substr(path.rfind('/') + 1); };
  return same(a, b) || (name(a) == name(b) && same(folder_of(a), folder_of(b)));
}

}  // namespace edgetrain
