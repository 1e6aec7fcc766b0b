#include "edgetrain/flat_tensor.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <tuple>

#include "edgetrain/hashing.h"
#include "flatbuffer.h"

namespace edgetrain {
namespace {

constexpr size_t kDigestBytes = 32;
constexpr size_t kHeaderOffset = 8;

struct TypeInfo {
  int8_t number;
  size_t bytes;
  const char* name;
};
constexpr TypeInfo kTypes[] = {{0, 1, "uint8"},   {1, 1, "int8"},    {2, 2, "int16"},
                               {3, 4, "int32"},   {4, 8, "int64"},   {5, 2, "float16"},
                               {6, 4, "float32"}, {7, 8, "float64"}, {11, 1, "bool"}};

}  // namespace

size_t item_bytes(int8_t dtype) {
  for (const auto& type : kTypes) {
    if (type.number == dtype) return type.bytes;
  }
  return 0;
}

std::string dtype_name(int8_t dtype) {
  for (const auto& type : kTypes) {
    if (type.number == dtype) return type.name;
  }
  return "dtype " + std::to_string(dtype);
}

int8_t dtype_number(const std::string& name) {
  for (const auto& type : kTypes) {
    if (type.name == name) return type.number;
  }
  return -1;
}

std::string describe(const std::vector<int64_t>& shape, int8_t dtype) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "] " + dtype_name(dtype);
}

std::string pairing_hash(const std::vector<TensorEntry>& entries) {
  std::vector<std::string> lines;
  for (const auto& entry : entries) lines.push_back(entry.name + " " + describe(entry.shape, entry.dtype));
  std::sort(lines.begin(), lines.end());
  Sha256 hasher;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i) hasher.update("\n", 1);
    hasher.update(lines[i].data(), lines[i].size());
  }
  return hex(hasher.finish());
}

Result<TensorFile> TensorFile::open(const std::string& path) {
  EDGETRAIN_TAKE(MappedFile mapped, MappedFile::open(path));
  if (mapped.size() < 8 || std::memcmp(mapped.data() + 4, "FT01", 4) != 0) {
    return bad_input({path, " is no .ptd file"});
  }
  TensorFile tensors(std::move(mapped));
  if (auto status = tensors.parse(); !status.ok()) {
    return bad_input(
        {path, " is damaged or cut short (", status.failure().message, "); export or copy it again"});
  }
  if (tensors.digest_offset_) {
    const uint8_t* data = tensors.file_.data();
    const size_t offset = *tensors.digest_offset_, after = offset + kDigestBytes;
    const uint8_t zeros[kDigestBytes] = {};
    Sha256 hasher;
    hasher.update(data, offset);
    hasher.update(zeros, kDigestBytes);
    hasher.update(data + after, tensors.file_.size() - after);
    if (std::memcmp(hasher.finish().data(), data + offset, kDigestBytes) != 0) {
      return bad_input({path, " is damaged: its content does not match its digest; export or copy it again"});
    }
  }
  return tensors;
}

const TensorEntry* TensorFile::find(const std::string& name) const {
  for (const auto& entry : entries_) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

std::string TensorFile::pairing() const { return pairing_hash(entries_); }

// Tables (flat_tensor.fbs): FlatTensor(version, segments, named_data), DataSegment(offset, size),
// NamedData(key, segment_index, tensor_layout), TensorLayout(scalar_type, sizes, dim_order).
Status TensorFile::parse() {
  FlatbufferReader reader(file_.data(), file_.size());
  if (file_.size() < kHeaderOffset + 40 || std::memcmp(file_.data() + kHeaderOffset, "FH01", 4) != 0) {
    return bad_input("its header is missing");
  }
  const auto flatbuffer_offset = reader.number<uint64_t>(kHeaderOffset + 8);
  const auto flatbuffer_size = reader.number<uint64_t>(kHeaderOffset + 16);
  const auto base = reader.number<uint64_t>(kHeaderOffset + 24);
  const auto segment_bytes = reader.number<uint64_t>(kHeaderOffset + 32);
  const size_t size = file_.size();
  if (flatbuffer_offset > size || flatbuffer_size > size - flatbuffer_offset || base > size ||
      segment_bytes > size - base) {
    return bad_input("it should be longer");
  }
  const size_t root = reader.number<uint32_t>(0);
  const auto [segments, segment_count] = reader.vector(root, 1, 4);
  std::vector<std::pair<uint64_t, uint64_t>> places;
  for (size_t i = 0; i < segment_count && !reader.broken(); ++i) {
    const size_t table = reader.target(segments + 4 * i);
    const auto offset = reader.scalar<uint64_t>(table, 0), length = reader.scalar<uint64_t>(table, 1);
    if (offset > segment_bytes || length > segment_bytes - offset)
      return bad_input("a tensor lies outside the file");
    places.emplace_back(base + offset, length);
  }
  const auto [named, named_count] = reader.vector(root, 2, 4);
  std::set<uint32_t> used;
  std::set<std::string> names;
  for (size_t i = 0; i < named_count && !reader.broken(); ++i) {
    const size_t table = reader.target(named + 4 * i);
    TensorEntry entry;
    entry.name = reader.text(table, 0);
    const auto index = reader.scalar<uint32_t>(table, 1);
    if (index >= places.size()) return bad_input("a tensor has no data");
    used.insert(index);
    std::tie(entry.offset, entry.size) = places[index];
    if (entry.name == kDigestKey) {
      if (entry.size != kDigestBytes) return bad_input("its digest has a wrong size");
      digest_offset_ = entry.offset;
      continue;
    }
    const size_t layout_field = reader.field(table, 2);
    const bool is_text = entry.name == kContentsKey || entry.name == kStateKey;
    if (layout_field == 0 && is_text && metadata_.count(entry.name) == 0) {
      metadata_[entry.name].assign(reinterpret_cast<const char*>(file_.data()) + entry.offset, entry.size);
      continue;
    }
    if (layout_field == 0 || !names.insert(entry.name).second) {
      return bad_input({"entry ", entry.name, " is no tensor, or there twice"});
    }
    const size_t layout = reader.target(layout_field);
    entry.dtype = reader.scalar<int8_t>(layout, 0);
    const auto [sizes, dims] = reader.vector(layout, 1, 4);
    const auto [order, order_count] = reader.vector(layout, 2, 1);
    if (item_bytes(entry.dtype) == 0) return bad_input({"tensor ", entry.name, " has an unknown dtype"});
    bool in_order = order_count == dims;
    size_t bytes = item_bytes(entry.dtype);
    for (size_t d = 0; d < dims && !reader.broken(); ++d) {
      const auto length = reader.number<int32_t>(sizes + 4 * d);
      in_order = in_order && reader.number<uint8_t>(order + d) == d;
      if (length < 0 || (length > 0 && bytes > (size_t{1} << 62) / static_cast<size_t>(length))) {
        return bad_input({"tensor ", entry.name, " has an impossible size"});
      }
      entry.shape.push_back(length);
      bytes *= static_cast<size_t>(length);
    }
    if (bytes != entry.size)
      return bad_input({"tensor ", entry.name, " does not have the bytes its shape needs"});
    if (!in_order) return bad_input({"tensor ", entry.name, " is not in row-major order"});
    if (entry.offset % item_bytes(entry.dtype) != 0)
      return bad_input({"tensor ", entry.name, " is not aligned"});
    entries_.push_back(std::move(entry));
  }
  if (reader.broken()) return bad_input("an offset points outside the file");
  // Otherwise damage could hide the digest's entry, and with it all other damage.
  if (used.size() != places.size() || (segment_bytes > 0 && places.empty())) {
    return bad_input("some of its data belongs to no tensor");
  }
  return {};
}

}  // namespace edgetrain
