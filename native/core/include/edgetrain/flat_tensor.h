#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "edgetrain/mapped_file.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// Element types by the numbers ExecuTorch and PyTorch give them.
namespace dtype {
constexpr int8_t kUInt8 = 0, kInt64 = 4, kFloat32 = 6;
}

/// Entries that are no tensors: what the weights of a file are, and where a run stands. Others are refused:
/// one could be the digest's, its name damaged.
constexpr char kContentsKey[] = "edgetrain.contents", kStateKey[] = "edgetrain.state";
/// The entry that holds the SHA-256 of a file, computed with these 32 bytes taken as zeros.
constexpr char kDigestKey[] = "edgetrain.sha256";

/// Bytes of one element; 0 for a type that edgetrain never writes.
size_t item_bytes(int8_t dtype);
/// PyTorch's name, as in manifests.
std::string dtype_name(int8_t dtype);
/// The number of such a name; negative for one that is unknown.
int8_t dtype_number(const std::string& name);

/// One tensor of a .ptd: `size` bytes at `offset` of the file, in row-major order.
struct TensorEntry {
  std::string name;
  std::vector<int64_t> shape;
  int8_t dtype = 0;
  size_t offset = 0;
  size_t size = 0;
};

/// A checked .ptd (ExecuTorch's flat-tensor format). Owns the mapping that its entries point into.
class TensorFile {
 public:
  /// Maps and checks a file: format, every bound, and the digest `edgetrain.sha256` where there is one.
  static Result<TensorFile> open(const std::string& path);

  const MappedFile& file() const { return file_; }
  /// Hands over the mapping; offsets of entries stay true for it.
  MappedFile take_file() && { return std::move(file_); }
  const std::vector<TensorEntry>& entries() const { return entries_; }
  /// Null where there is no such tensor.
  const TensorEntry* find(const std::string& name) const;
  /// What the entries that are no tensors hold, by name.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const uint8_t* data(const TensorEntry& entry) const { return file_.data() + entry.offset; }
  /// Where the 32 bytes of the digest lie; none in files of other writers.
  std::optional<size_t> digest_offset() const { return digest_offset_; }
  /// The hash by which a program recognises weights that are laid out as its own.
  std::string pairing() const;

 private:
  explicit TensorFile(MappedFile file) : file_(std::move(file)) {}
  Status parse();
  MappedFile file_;
  std::vector<TensorEntry> entries_;
  std::map<std::string, std::string> metadata_;
  std::optional<size_t> digest_offset_;
};

/// SHA-256 over sorted "name [shape] dtype" lines, as edgetrain's Python side computes it.
std::string pairing_hash(const std::vector<TensorEntry>& entries);

/// "[2, 3] float32"
std::string describe(const std::vector<int64_t>& shape, int8_t dtype);

}  // namespace edgetrain
