#include "edgetrain/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace edgetrain {

Result<MappedFile> MappedFile::open(const std::string& path) {
  // A pipe is refused below, and not waited for.
  const int handle = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (handle < 0) return bad_input({"can't read ", path, ": ", std::strerror(errno)});
  struct stat about{};
  if (::fstat(handle, &about) != 0 || !S_ISREG(about.st_mode)) {
    ::close(handle);
    return bad_input({"can't read ", path, ": it is no ordinary file"});
  }
  MappedFile file;
  file.path_ = path;
  file.size_ = static_cast<size_t>(about.st_size);
  if (file.size_ > 0) {
    void* data = ::mmap(nullptr, file.size_, PROT_READ, MAP_PRIVATE, handle, 0);
    if (data == MAP_FAILED) {
      const int reason = errno;
      ::close(handle);
      return failed({"can't map ", path, ": ", std::strerror(reason)});
    }
    file.data_ = static_cast<const uint8_t*>(data);
  }
  ::close(handle);
  return file;
}

MappedFile::MappedFile(MappedFile&& other) noexcept { *this = std::move(other); }

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

void MappedFile::release_pages() const {
  // Only advice: what is not taken back merely stays.
  if (data_ != nullptr) (void)::madvise(const_cast<uint8_t*>(data_), size_, MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<uint8_t*>(data_), size_);
}

Result<std::string> read_text(const std::string& path) {
  EDGETRAIN_TAKE(const MappedFile file, MappedFile::open(path));
  return std::string(reinterpret_cast<const char*>(file.data()), file.size());
}

bool file_exists(const std::string& path) {
  struct stat about{};
  return ::stat(path.c_str(), &about) == 0;
}

}  // namespace edgetrain
