#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "edgetrain/result.h"

namespace edgetrain {

/// A float32 tensor in row-major order. `data` stays the caller's and must outlive the write.
struct NamedTensor {
  std::string name;
  std::vector<int64_t> shape;
  const float* data;
  size_t count;
};

/// Writes a .ptd with its digest, as edgetrain's Python side does. Atomic.
Status write_tensors(const std::string& path, const std::vector<NamedTensor>& tensors);

}  // namespace edgetrain
