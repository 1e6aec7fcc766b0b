#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "edgetrain/atomic_file.h"
#include "edgetrain/hashing.h"
#include "edgetrain/mapped_file.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// Bytes that replace those at `offset` of a file. `data` stays the caller's and must outlive the write.
struct Patch {
  size_t offset;
  const void* data;
  size_t size;
};

/// A copy that was written and waits to take its name, and SHA-256 of all of it.
struct Patched {
  AtomicFile file;
  Digest digest;
};

/// Writes a copy of `source` with some bytes replaced, without holding the copy in memory.
/// @param digest_offset where the copy keeps its SHA-256 (32 bytes, taken as zeros while hashing); none: it
/// has none.
/// @returns a failure if patches overlap: two weights that share their bytes in the file can't get different
/// values.
Result<Patched> write_patched(const std::string& path, const MappedFile& source, std::vector<Patch> patches,
                              std::optional<size_t> digest_offset);

}  // namespace edgetrain
