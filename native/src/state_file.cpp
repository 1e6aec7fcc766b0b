#include "edgetrain/state_file.h"

#include <cstring>

#include "edgetrain/atomic_file.h"
#include "edgetrain/hashing.h"
#include "edgetrain/mapped_file.h"

namespace edgetrain {
namespace {

// Numbers are stored as the machine has them: a state goes on where it was made, it does not travel.
constexpr char kMagic[8] = {'E', 'T', 'S', 'T', 'A', 'T', 'E', '1'};
constexpr size_t kDigestBytes = 32;

Failure unusable(const std::string& path) {
  return bad_input(path + " is no usable state of a fine-tuning run; start anew without --resume");
}

}  // namespace

Result<StateFile> StateFile::read(const std::string& path) {
  auto mapped = MappedFile::open(path);
  if (!mapped.ok()) return bad_input("there is nothing to resume: " + mapped.failure().message);
  const uint8_t* data = mapped->data();
  const size_t size = mapped->size();
  if (size < sizeof(kMagic) + kDigestBytes || std::memcmp(data, kMagic, sizeof(kMagic)) != 0)
    return unusable(path);
  const size_t end = size - kDigestBytes;
  if (std::memcmp(sha256(data, end).data(), data + end, kDigestBytes) != 0) return unusable(path);
  StateFile state;
  state.path_ = path;
  size_t at = sizeof(kMagic);
  const auto take = [&](std::string& out) {
    uint64_t length = 0;
    if (end - at < sizeof(length)) return false;
    std::memcpy(&length, data + at, sizeof(length));
    at += sizeof(length);
    if (length > end - at) return false;
    out.assign(reinterpret_cast<const char*>(data) + at, length);
    at += length;
    return true;
  };
  while (at < end) {
    std::string name, value;
    if (!take(name) || !take(value)) return unusable(path);
    state.entries_[name].own = std::move(value);
  }
  return state;
}

Status StateFile::write(const std::string& path) const {
  EDGETRAIN_TAKE(AtomicFile file, AtomicFile::open(path));
  Sha256 hasher;
  const auto write = [&](const void* data, size_t size) {
    hasher.update(data, size);
    return file.write(data, size);
  };
  EDGETRAIN_CHECK(write(kMagic, sizeof(kMagic)));
  const auto write_sized = [&](const char* data, uint64_t size) -> Status {
    EDGETRAIN_CHECK(write(&size, sizeof(size)));
    return write(data, size);
  };
  for (const auto& [name, entry] : entries_) {
    EDGETRAIN_CHECK(write_sized(name.data(), name.size()));
    if (entry.borrowed != nullptr) {
      EDGETRAIN_CHECK(write_sized(entry.borrowed, entry.size));
    } else {
      EDGETRAIN_CHECK(write_sized(entry.own.data(), entry.own.size()));
    }
  }
  const Digest digest = hasher.finish();
  EDGETRAIN_CHECK(file.write(digest.data(), digest.size()));
  return file.commit();
}

void StateFile::put(const std::string& name, const void* data, size_t size) {
  entries_[name] = {{}, static_cast<const char*>(data), size};
}

void StateFile::put_number(const std::string& name, uint64_t value) {
  put_text(name, std::string(reinterpret_cast<const char*>(&value), sizeof(value)));
}

void StateFile::put_real(const std::string& name, double value) {
  put_text(name, std::string(reinterpret_cast<const char*>(&value), sizeof(value)));
}

const std::string* StateFile::find(const std::string& name) const {
  const auto found = entries_.find(name);
  return found == entries_.end() ? nullptr : &found->second.own;
}

Status StateFile::copy(const std::string& name, void* to, size_t size) const {
  const std::string* value = find(name);
  if (value == nullptr || value->size() != size) return unusable(path_);
  std::memcpy(to, value->data(), size);
  return {};
}

Result<uint64_t> StateFile::number(const std::string& name) const {
  uint64_t value = 0;
  EDGETRAIN_CHECK(copy(name, &value, sizeof(value)));
  return value;
}

Result<double> StateFile::real(const std::string& name) const {
  double value = 0;
  EDGETRAIN_CHECK(copy(name, &value, sizeof(value)));
  return value;
}

std::vector<float> StateFile::floats(const std::string& name) const {
  const std::string* value = find(name);
  std::vector<float> out(value == nullptr ? 0 : value->size() / sizeof(float));
  if (!out.empty()) std::memcpy(out.data(), value->data(), out.size() * sizeof(float));
  return out;
}

std::string state_path(const std::string& output) {
  const size_t slash = output.rfind('/'), dot = output.rfind('.');
  const bool has_suffix = dot != std::string::npos && (slash == std::string::npos || dot > slash + 1);
  return (has_suffix ? output.substr(0, dot) : output) + ".state";
}

}  // namespace edgetrain
