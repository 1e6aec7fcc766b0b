// The weights of a program: what changed them, where they go.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "contents.h"
#include "edgetrain/hashing.h"
#include "edgetrain/program.h"
#include "edgetrain/tensor_writer.h"
#include "weight_writer.h"

namespace edgetrain {
namespace {

/// to = operation(value, other), element by element; the files' bytes are aligned as their types want it.
template <typename T, typename Operation>
void combine_as(const LiveTensor& tensor, const uint8_t* other, Operation operation, uint8_t* to) {
  for (size_t i = 0; i < tensor.bytes / sizeof(T); ++i) {
    reinterpret_cast<T*>(to)[i] =
        operation(reinterpret_cast<const T*>(tensor.data)[i], reinterpret_cast<const T*>(other)[i]);
  }
}

template <typename Operation>
Status combine(const LiveTensor& tensor, const uint8_t* other, Operation operation, uint8_t* to) {
  if (tensor.dtype == dtype::kFloat32) {
    combine_as<float>(tensor, other, operation, to);
  } else if (tensor.dtype == dtype::kInt64) {
    combine_as<int64_t>(tensor, other, operation, to);
  } else {
    return bad_usage({"changes of ", tensor.name, ", which is ", dtype_name(tensor.dtype),
                      ", can't be told as a difference; save trainable weights instead"});
  }
  return {};
}

}  // namespace

Status Program::take_change() {
  if (!files_.change) return {};
  for (const auto& tensor : changed_) {
    const uint8_t* from = files_.change->data(*files_.change->find(tensor.name));
    if (files_.change_holds == Holds::kTrainable) {
      std::memcpy(tensor.data, from, tensor.bytes);
    } else {
      EDGETRAIN_CHECK(
          combine(tensor, from, [](auto value, auto change) { return value + change; }, tensor.data));
    }
  }
  return {};
}

bool Program::weights_finite() const {
  return std::all_of(changed_.begin(), changed_.end(), [](const LiveTensor& tensor) {
    if (tensor.dtype != dtype::kFloat32) return true;
    const auto* values = reinterpret_cast<const float*>(tensor.data);
    return std::all_of(values, values + tensor.bytes / sizeof(float),
                       [](float v) { return std::isfinite(v); });
  });
}

Status Program::prepare_save(Holds holds) {
  holds_ = holds;
  base_.reset();
  if (holds == Holds::kFull) return {};
  if (!manifest() || !manifest()->weights) {
    return bad_usage({files_.program.path(),
                      " keeps its weights inside, or has no manifest; they can be saved in full only"});
  }
  EDGETRAIN_TAKE(base_, open_exported_weights(files_.program.path(), *manifest()));
  // What was loaded may have come from another run, with other tensors frozen.
  for (const auto& entry : base_->entries()) {
    const bool changes = contract_.tensor(entry.name)->changes();
    const TensorEntry* loaded = files_.weights->find(entry.name);
    if (!changes && std::memcmp(base_->data(entry), files_.weights->data(*loaded), entry.size) != 0) {
      return bad_usage({entry.name, " of ", files_.weights->file().path(), " differs from ",
                        base_->file().path(), " and is not trained; such weights can be saved in full only"});
    }
  }
  base_->file().release_pages();
  return {};
}

Result<std::vector<AtomicFile>> Program::new_files(const std::string& path) const {
  std::vector<AtomicFile> files;
  if (holds_ != Holds::kFull) {
    EDGETRAIN_TAKE(AtomicFile change, new_change(path));
    files.push_back(std::move(change));
    return files;
  }
  std::vector<Patch> patches;
  for (const auto& tensor : changed_) patches.push_back({tensor.file_offset, tensor.data, tensor.bytes});
  if (files_.weights) {
    EDGETRAIN_TAKE(Patched copy, write_patched(path, files_.weights->file(), std::move(patches),
                                               files_.weights->digest_offset()));
    files_.weights->file().release_pages();
    files.push_back(std::move(copy.file));
    return files;
  }
  EDGETRAIN_TAKE(Patched copy, write_patched(path, files_.program, std::move(patches), std::nullopt));
  files.push_back(std::move(copy.file));
  if (!files_.manifest) return files;
  const FileRecord record{file_name(path), files_.program.size(), hex(copy.digest)};
  EDGETRAIN_TAKE(const std::string text, manifest_for(manifest_path(files_.program.path()), record));
  EDGETRAIN_TAKE(AtomicFile manifest, AtomicFile::open(manifest_path(path)));
  EDGETRAIN_CHECK(manifest.write(text.data(), text.size()));
  files.push_back(std::move(manifest));
  return files;
}

Result<AtomicFile> Program::new_change(const std::string& path) const {
  std::vector<NamedTensor> tensors;
  std::vector<std::vector<uint8_t>> differences;
  differences.reserve(changed_.size());
  for (const auto& tensor : changed_) {
    const void* data = tensor.data;
    if (holds_ == Holds::kDelta) {
      auto& difference = differences.emplace_back(tensor.bytes);
      const uint8_t* before = base_->data(*base_->find(tensor.name));
      EDGETRAIN_CHECK(
          combine(tensor, before, [](auto value, auto start) { return value - start; }, difference.data()));
      data = difference.data();
    }
    tensors.push_back({tensor.name, tensor.shape, tensor.dtype, data, tensor.bytes});
  }
  base_->file().release_pages();
  return new_tensors(path, tensors, {{kContentsKey, contents_json({holds_, manifest()->weights->sha256})}});
}

}  // namespace edgetrain
