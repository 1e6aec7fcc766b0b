#include "edgetrain/tensor_writer.h"

#include <algorithm>
#include <cstring>
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

/// Everything before the tensors' data. Tables as in flat_tensor.fbs: see flat_tensor.cpp.
/// @param places offset and size of each tensor's data, and of the digest as the last one
std::string describe_file(const std::vector<NamedTensor>& tensors,
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
  for (size_t i = 0; i < tensors.size(); ++i) {
    const auto& shape = tensors[i].shape;
    const auto named = out.table({4, 4, 4});
    out.point(std::exchange(slot, slot + 4), named.at);
    out.text(named.fields[0], tensors[i].name);
    out.set<uint32_t>(named.fields[1], i);
    const auto layout = out.table({1, 4, 4});
    out.point(named.fields[2], layout.at);
    out.set<int8_t>(layout.fields[0], static_cast<uint64_t>(DType::kFloat32));
    const size_t sizes = out.vector(layout.fields[1], shape.size(), 4);
    for (size_t d = 0; d < shape.size(); ++d) {
      out.set<int32_t>(sizes + 4 * d, static_cast<uint64_t>(shape[d]));
    }
    const size_t order = out.vector(layout.fields[2], shape.size(), 1);
    for (size_t d = 0; d < shape.size(); ++d) out.set<uint8_t>(order + d, d);
  }
  const auto digest = out.table({4, 4});  // no layout: it is no tensor
  out.point(slot, digest.at);
  out.text(digest.fields[0], kDigestKey);
  out.set<uint32_t>(digest.fields[1], tensors.size());

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

Status write_tensors(const std::string& path, const std::vector<NamedTensor>& tensors) {
  Digest digest{};
  std::vector<std::pair<size_t, size_t>> places;
  size_t end = 0;
  for (const auto& tensor : tensors) {
    places.emplace_back(end, tensor.count * sizeof(float));
    end = round_up(end + places.back().second, kAlignment);
  }
  places.emplace_back(end, digest.size());
  const std::string head = describe_file(tensors, places);

  const auto visit = [&](auto use) -> Status {
    EDGETRAIN_CHECK(use(head.data(), head.size()));
    for (size_t i = 0; i < tensors.size(); ++i) {
      const char padding[kAlignment] = {};
      EDGETRAIN_CHECK(use(tensors[i].data, places[i].second));
      EDGETRAIN_CHECK(use(padding, places[i + 1].first - places[i].first - places[i].second));
    }
    return use(digest.data(), digest.size());
  };
  Sha256 hasher;
  EDGETRAIN_CHECK(visit([&hasher](const void* data, size_t size) {
    hasher.update(data, size);
    return Status();
  }));
  digest = hasher.finish();
  EDGETRAIN_TAKE(AtomicFile file, AtomicFile::open(path));
  EDGETRAIN_CHECK(visit([&file](const void* data, size_t size) { return file.write(data, size); }));
  return file.commit();
}

}  // namespace edgetrain
