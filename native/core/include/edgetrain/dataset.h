#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "edgetrain/contract.h"
#include "edgetrain/flat_tensor.h"
#include "edgetrain/manifest.h"
#include "edgetrain/mapped_file.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// One tensor of every sample.
struct Column {
  std::string name;
  std::vector<int64_t> shape;  ///< of one sample
  int8_t dtype;
  size_t items;  ///< numbers in one sample
};

/// Named samples, mapped rather than read.
///
/// A file is either a packed .ptd, whose tensors (uint8, float32 or int64 [N, ...]) all have one row per
/// sample, or CIFAR-10's binary format: records of one label byte, `targets`, and 3 x 32 x 32 bytes of
/// pixels, `inputs`.
class Dataset {
 public:
  /// Several files of one layout become one data set, in the order given.
  static Result<Dataset> open(const std::vector<std::string>& paths);

  size_t size() const { return size_; }
  const std::vector<Column>& columns() const { return columns_; }
  /// Null where there is none of this name.
  const Column* find(const std::string& name) const;
  /// The numbers of one sample, as they are stored.
  const uint8_t* at(const Column& column, size_t sample) const;
  /// What is known about packed data; null without a manifest beside it.
  const DatasetManifest* manifest() const { return manifest_ ? &*manifest_ : nullptr; }
  /// SHA-256 over the files, by which a resumed run recognises its data.
  const std::string& fingerprint() const { return fingerprint_; }

  /// Checks that a program can take these samples, every value included.
  Status check_fits(const Contract& contract) const;

 private:
  /// Samples of one file; `columns` are where each begins, `strides` bytes from one sample to the next.
  struct Part {
    MappedFile file;
    size_t count;
    std::vector<const uint8_t*> columns;
    std::vector<size_t> strides;
  };
  Status add(const std::string& path);
  Status add_packed(const std::string& path);
  Status add_manifest(const std::string& path);
  Status add_records(MappedFile file);
  Status add_part(Part part, std::vector<Column> columns);
  Status check_column(const Argument& argument) const;
  Status check_values(const Argument& argument, const Column& column) const;

  std::vector<Part> parts_;
  std::vector<Column> columns_;
  size_t size_ = 0;
  std::string fingerprint_;
  std::optional<DatasetManifest> manifest_;
};

}  // namespace edgetrain
