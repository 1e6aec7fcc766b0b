#include "weight_writer.h"

#include <algorithm>
#include <utility>

namespace edgetrain {
namespace {

/// Calls visit(data, size) for the pieces of the patched file in order.
template <typename Visit>
Status visit_patched(const MappedFile& source, const std::vector<Patch>& patches, Visit visit) {
  size_t at = 0;
  for (const Patch& patch : patches) {
    if (patch.offset > at) EDGETRAIN_CHECK(visit(source.data() + at, patch.offset - at));
    EDGETRAIN_CHECK(visit(patch.data, patch.size));
    at = patch.offset + patch.size;
  }
  return at < source.size() ? visit(source.data() + at, source.size() - at) : Status();
}

}  // namespace

Result<Patched> write_patched(const std::string& path, const MappedFile& source, std::vector<Patch> patches,
                              std::optional<size_t> digest_offset) {
  Digest digest{};
  if (digest_offset) patches.push_back({*digest_offset, digest.data(), digest.size()});
  std::sort(patches.begin(), patches.end(),
            [](const Patch& a, const Patch& b) { return a.offset < b.offset; });
  size_t end = 0;
  for (const Patch& patch : patches) {
    if (patch.offset < end) {
      return failed(
          {"two weights share their bytes in ", source.path(),
           ", so that they can't be saved there; export the program again with its weights outside"});
    }
    if (patch.size > source.size() || patch.offset > source.size() - patch.size) {
      return failed({"a weight lies outside ", source.path()});
    }
    end = patch.offset + patch.size;
  }
  if (digest_offset) {
    Sha256 hasher;
    EDGETRAIN_CHECK(visit_patched(source, patches, [&hasher](const void* data, size_t size) {
      hasher.update(data, size);
      return Status();
    }));
    digest = hasher.finish();
  }
  EDGETRAIN_TAKE(AtomicFile file, AtomicFile::open(path));
  Sha256 written;
  EDGETRAIN_CHECK(visit_patched(source, patches, [&](const void* data, size_t size) {
    written.update(data, size);
    return file.write(data, size);
  }));
  return Patched{std::move(file), written.finish()};
}

}  // namespace edgetrain
