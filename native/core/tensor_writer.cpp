#include "edgetrain/tensor_writer.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>

#include "edgetrain/atomic_file.h"
#include "edgetrain/flat_tensor.h"
#include "edgetrain/hashing.h"

namespace edgetrain {
namespace {

constexpr size_t kHeaderOffset = 8, kHeaderBytes = 40, kAlignment = 16;

size_t round_up(size_t value, size_t multiple) { return (value + multiple - 1) / multiple * multiple; }

/// Just enough of the flatbuffer encoding to write tables. Parents come before their children, so that every
/// offset points forward, as the format wants it.
class Builder {
 public:
  struct Table {
    size_t at;
    std::vector<size_t> fields;
  };

  /// A table of zeros with fields of these widths.
  Table table(const std::vector<size_t>& widths) {
    size_t end = sizeof(int32_t);
    std::vector<size_t> offsets;
    for (const size_t width : widths) {
      offsets.push_back(round_up(end, width));
      end = offsets.back() + width;
    }
    align(2);
    const size_t vtable = bytes_.size();
    append<uint16_t>(4 + 2 * widths.size());
    append<uint16_t>(end);
    for (const size_t offset : offsets) append<uint16_t>(offset);
    align(8);
    Table made{bytes_.size(), {}};
    append<int32_t>(made.at - vtable);
    bytes_.resize(made.at + end);
    for (const size_t offset : offsets) made.fields.push_back(made.at + offset);
    return made;
  }

  /// A vector of `count` items of `width` bytes that the field at `from` points to; where its items begin.
  size_t vector(size_t from, size_t count, size_t width) {
    align(4);
    point(from, bytes_.size());
    append<uint32_t>(count);
    const size_t items = bytes_.size();
    // One byte more: texts end with a zero that is not counted.
    bytes_.resize(items + count * width + 1);
    return items;
  }

  void point(size_t from, size_t to) { set<uint32_t>(from, to - from); }

  template <typename T>
  void set(size_t at, uint64_t value) {
    const T number = static_cast<T>(value);
    std::memcpy(bytes_.data() + at, &number, sizeof(T));
  }
  template <typename T>
  void append(uint64_t value) {
    bytes_.resize(bytes_.size() + sizeof(T));
    set<T>(bytes_.size() - sizeof(T), value);
  }
  void align(size_t multiple) { bytes_.resize(round_up(bytes_.size(), multiple)); }
  void text(size_t from, const std::string& value) {
    const size_t at = vector(from, value.size(), 1);
    std::copy(value.begin(), value.end(), bytes_.begin() + static_cast<std::ptrdiff_t>(at));
  }
  std::string& bytes() { return bytes_; }

 private:
  std::string bytes_;
};

/// Everything before the data. Tables as in flat_tensor.fbs: see flat_tensor.cpp.
/// @param texts names of the entries after the tensors
/// @param places offset and size of each entry's data
std::string describe_file(const std::vector<NamedTensor>& tensors, const std::vector<std::string>& texts,
                          const std::vector<std::pair<size_t, size_t>>& places) {
  Builder out;
  out.bytes().resize(kHeaderOffset + kHeaderBytes);
  const auto root = out.table({4, 4, 4});  // version 0, segments, named data
  out.point(0, root.at);
  size_t slot = out.vector(root.fields[1], places.size(), 4);
  for (const auto& [offset, size] : places) {
    const auto segment = out.table({8, 8});
    out.point(std::exchange(slot, slot + 4), segment.at);
    out.set<uint64_t>(segment.fields[0], offset);
    out.set<uint64_t>(segment.fields[1], size);
  }
  slot = out.vector(root.fields[2], places.size(), 4);
  for (size_t i = 0; i < places.size(); ++i) {
    const bool is_tensor = i < tensors.size();
    const auto named = out.table(is_tensor ? std::vector<size_t>{4, 4, 4} : std::vector<size_t>{4, 4});
    out.point(std::exchange(slot, slot + 4), named.at);
    out.text(named.fields[0], is_tensor ? tensors[i].name : texts[i - tensors.size()]);
    out.set<uint32_t>(named.fields[1], i);
    if (!is_tensor) continue;
    const auto& shape = tensors[i].shape;
    const auto layout = out.table({1, 4, 4});
    out.point(named.fields[2], layout.at);
    out.set<int8_t>(layout.fields[0], static_cast<uint64_t>(tensors[i].dtype));
    const size_t sizes = out.vector(layout.fields[1], shape.size(), 4);
    for (size_t d = 0; d < shape.size(); ++d) {
      out.set<int32_t>(sizes + 4 * d, static_cast<uint64_t>(shape[d]));
    }
    const size_t order = out.vector(layout.fields[2], shape.size(), 1);
    for (size_t d = 0; d < shape.size(); ++d) out.set<uint8_t>(order + d, d);
  }

  const size_t described = out.bytes().size();
  out.align(kAlignment);
  std::memcpy(out.bytes().data() + 4, "FT01FH01", 8);
  out.set<uint32_t>(kHeaderOffset + 4, kHeaderBytes);
  out.set<uint64_t>(kHeaderOffset + 8, kHeaderOffset + kHeaderBytes);
  out.set<uint64_t>(kHeaderOffset + 16, described - kHeaderOffset - kHeaderBytes);
  out.set<uint64_t>(kHeaderOffset + 24, out.bytes().size());
  out.set<uint64_t>(kHeaderOffset + 32, places.back().first + places.back().second);
  return std::move(out.bytes());
}

}  // namespace

Result<AtomicFile> new_tensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                               const std::map<std::string, std::string>& metadata) {
  Digest digest{};
  std::vector<std::pair<const void*, size_t>> parts;
  std::vector<std::string> texts;
  for (const auto& tensor : tensors) parts.emplace_back(tensor.data, tensor.bytes);
  for (const auto& [name, text] : metadata) {
    texts.push_back(name);
    parts.emplace_back(text.data(), text.size());
  }
  texts.emplace_back(kDigestKey);
  parts.emplace_back(digest.data(), digest.size());
  std::vector<std::pair<size_t, size_t>> places;
  size_t end = 0;
  for (const auto& part : parts) {
    places.emplace_back(end, part.second);
    end = round_up(end + part.second, kAlignment);
  }
  const std::string head = describe_file(tensors, texts, places);

  Sha256 hasher;
  std::optional<AtomicFile> file;
  const auto put = [&](const void* data, size_t size) -> Status {
    if (file) return file->write(data, size);
    hasher.update(data, size);
    return {};
  };
  const auto put_all = [&]() -> Status {
    EDGETRAIN_CHECK(put(head.data(), head.size()));
    for (size_t i = 0; i < parts.size(); ++i) {
      const char padding[kAlignment] = {};
      EDGETRAIN_CHECK(put(parts[i].first, parts[i].second));
      if (i + 1 == parts.size()) break;
      EDGETRAIN_CHECK(put(padding, places[i + 1].first - places[i].first - parts[i].second));
    }
    return {};
  };
  // Once for the digest, which is zeros so far, and once for the file.
  EDGETRAIN_CHECK(put_all());
  digest = hasher.finish();
  EDGETRAIN_TAKE(AtomicFile opened, AtomicFile::open(path));
  file.emplace(std::move(opened));
  EDGETRAIN_CHECK(put_all());
  return std::move(*file);
}

Status write_tensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                     const std::map<std::string, std::string>& metadata) {
  EDGETRAIN_TAKE(AtomicFile file, new_tensors(path, tensors, metadata));
  return file.commit();
}

}  // namespace edgetrain
