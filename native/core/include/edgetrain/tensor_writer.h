#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "edgetrain/atomic_file.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// A tensor in row-major order. `data` stays the caller's and must outlive the write.
struct NamedTensor {
  std::string name;
  std::vector<int64_t> shape;
  int8_t dtype;
  const void* data;
  size_t bytes;
};

/// A new .ptd with its digest, as edgetrain's Python side writes it, which waits to take its name.
/// @param metadata texts of entries that are no tensors, by name (`edgetrain.` in front)
Result<AtomicFile> new_tensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                               const std::map<std::string, std::string>& metadata = {});

/// The same, in its place.
Status write_tensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                     const std::map<std::string, std::string>& metadata = {});

}  // namespace edgetrain
