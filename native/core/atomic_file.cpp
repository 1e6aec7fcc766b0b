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

#include "edgetrain/commit.h"

namespace edgetrain {
namespace {

constexpr int kTries = 100;

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

/// Where the temporary files of a path lie: all of their names but letters and the suffix.
std::string stem_of(const std::string& path) {
  const size_t slash = path.rfind('/');
  const size_t start = slash == std::string::npos ? 0 : slash + 1;
  return path.substr(0, start) + "." + path.substr(start) + ".";
}

/// Deletes the temporary files of processes that were killed. Python's names have two letters more.
void remove_abandoned(const std::string& path) {
  const std::string folder = folder_of(path), suffix = kTemporarySuffix;
  std::string stem = stem_of(path);
  stem = stem.substr(stem.rfind('/') + 1);
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error), end;
  for (; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    const size_t fixed = stem.size() + suffix.size();
    const bool ours = (name.size() == fixed + 6 || name.size() == fixed + 8) &&
                      name.compare(0, stem.size(), stem) == 0 &&
                      name.compare(name.size() - suffix.size(), suffix.size(), suffix) == 0;
    if (!ours) continue;
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
  for (int i = 0; i < kTries; ++i) {
    std::string name = stem_of(path) + "XXXXXX" + kTemporarySuffix;
    const int handle = ::mkstemps(name.data(), sizeof(kTemporarySuffix) - 1);
    if (handle < 0) return file.error(errno);
    // Says as long as this process lives that the file is in use. Until then another one may have taken it
    // for abandoned. Where locks are unknown, none is.
    const bool locked = ::flock(handle, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;
    struct stat named{}, opened{};
    if (locked && ::stat(name.c_str(), &named) == 0 && ::fstat(handle, &opened) == 0 &&
        named.st_ino == opened.st_ino) {
      file.handle_ = handle;
      file.temporary_ = name;
      return file;
    }
    ::close(handle);
  }
  return file.error(EAGAIN);
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_(std::exchange(other.temporary_, {})),
      handle_(std::exchange(other.handle_, -1)) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(temporary_, other.temporary_);
  std::swap(handle_, other.handle_);
  return *this;
}

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

Status AtomicFile::finish() {
  // Made private; a result is as readable as any other new file.
  if (::fchmod(handle_, usual_mode()) != 0 || ::fsync(handle_) != 0) return error(errno);
  return {};
}

Status AtomicFile::commit() {
  EDGETRAIN_CHECK(finish());
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
  EDGETRAIN_CHECK(recover(path));
  remove_abandoned(path);
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
