#include "arenas.h"

#include <sys/mman.h>

#include <algorithm>

namespace edgetrain {

Result<std::unique_ptr<Arenas>> Arenas::make(const std::vector<size_t>& sizes) {
  std::unique_ptr<Arenas> arenas(new Arenas());
  for (const size_t size : sizes) {
    // Zeros, as ExecuTorch's own arenas have; mapping nothing is an error.
    const size_t length = std::max<size_t>(size, 1);
    void* memory = ::mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
      return failed(
          {"there is no memory for an arena of ", size, " bytes; export the program for smaller batches"});
    }
    arenas->spans_.emplace_back(static_cast<uint8_t*>(memory), size);
  }
  arenas->allocator_ = std::make_unique<executorch::runtime::HierarchicalAllocator>(
      executorch::runtime::Span<executorch::runtime::Span<uint8_t>>(arenas->spans_.data(),
                                                                    arenas->spans_.size()));
  return arenas;
}

Arenas::~Arenas() {
  for (const auto& span : spans_) ::munmap(span.data(), std::max<size_t>(span.size(), 1));
}

}  // namespace edgetrain
