#pragma once

#include <executorch/runtime/core/hierarchical_allocator.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "edgetrain/result.h"

namespace edgetrain {

/// Planned memory that all methods of a program share.
///
/// Pages take no memory before they are written: a program planned for batches of 32 that gets batches of 4
/// needs about what these need.
class Arenas {
 public:
  /// @param sizes bytes of each arena
  static Result<std::unique_ptr<Arenas>> make(const std::vector<size_t>& sizes);
  ~Arenas();
  Arenas(const Arenas&) = delete;
  Arenas& operator=(const Arenas&) = delete;

  executorch::runtime::HierarchicalAllocator* allocator() { return allocator_.get(); }

 private:
  Arenas() = default;

  std::vector<executorch::runtime::Span<uint8_t>> spans_;
  std::unique_ptr<executorch::runtime::HierarchicalAllocator> allocator_;
};

}  // namespace edgetrain
