#include "edgetrain/program_files.h"

#include <algorithm>
#include <cstring>

#include "contents.h"
#include "edgetrain/commit.h"

namespace edgetrain {
namespace {

/// The header of a .pte says how long it has to be; without a manifest nothing else does.
Status check_bounds(const MappedFile& file) {
  if (file.size() < 8 || std::memcmp(file.data() + 4, "ET12", 4) != 0) {
    return bad_input({file.path(), " is no ExecuTorch program"});
  }
  if (file.size() < 40 || std::memcmp(file.data() + 8, "eh00", 4) != 0) return {};
  const auto number = [&file](size_t at) {
    uint64_t value = 0;
    std::memcpy(&value, file.data() + at, sizeof(value));
    return value;
  };
  uint32_t length = 0;
  std::memcpy(&length, file.data() + 12, sizeof(length));
  const uint64_t program_bytes = number(16), base = number(24);
  const uint64_t segment_bytes = length >= 32 ? number(32) : 0;
  const bool whole =
      program_bytes <= file.size() && base <= file.size() && segment_bytes <= file.size() - base;
  if (!whole) return bad_input({file.path(), " is cut short; copy or export it again"});
  return {};
}

/// The tensors that a file of all weights, or of those that training changes, holds.
std::vector<TensorEntry> entries_of(const Contract& contract, bool changing_only) {
  std::vector<TensorEntry> entries;
  for (const auto& record : contract.tensors) {
    if (record.is_stored() && (record.changes() || !changing_only))
      entries.push_back({record.name, record.shape, record.dtype, 0, 0});
  }
  return entries;
}

/// In what the tensors of a file differ from those wanted; empty where in nothing.
std::string difference(const TensorFile& file, const std::vector<TensorEntry>& wanted) {
  std::string found;
  for (const auto& entry : file.entries()) {
    const bool known =
        std::any_of(wanted.begin(), wanted.end(), [&](const auto& w) { return w.name == entry.name; });
    if (!known) found = entry.name + " is not part of the program";
  }
  for (const auto& tensor : wanted) {
    const TensorEntry* entry = file.find(tensor.name);
    if (entry == nullptr) {
      found = tensor.name + " is missing";
    } else if (entry->shape != tensor.shape || entry->dtype != tensor.dtype) {
      found = tensor.name + " is " + describe(entry->shape, entry->dtype) + ", the program's is " +
              describe(tensor.shape, tensor.dtype);
    }
  }
  return found;
}

Failure foreign(const TensorFile& weights, const Manifest& manifest, const std::string& why) {
  return bad_input(
      {weights.file().path(), " belongs to another program than ", manifest.program.name, ": ", why});
}

Status check_pairing(const TensorFile& weights, const Manifest& manifest) {
  const auto wanted = entries_of(manifest.contract, false);
  if (weights.pairing() == manifest.pairing && pairing_hash(wanted) == manifest.pairing) return {};
  const std::string why = difference(weights, wanted);
  return foreign(weights, manifest, why.empty() ? "its manifest was changed" : why);
}

/// Weights that don't hold everything, against the program and the base they name.
Status check_change(const TensorFile& change, const Contents& contents, const Manifest& manifest) {
  if (!change.digest_offset())
    return bad_input({change.file().path(), " has no digest; export or copy it again"});
  if (contents.base != manifest.weights->sha256) {
    return bad_input({change.file().path(), " holds changes of other weights than ", manifest.weights->name,
                      "; put the weights it was made from beside the program, or use full weights"});
  }
  const std::string why = difference(change, entries_of(manifest.contract, true));
  return why.empty() ? Status() : Status(foreign(change, manifest, why));
}

}  // namespace

std::string weights_path(const std::string& program, const FileRecord& record) {
  return folder_part(program) + file_name(record.name);
}

Result<TensorFile> open_exported_weights(const std::string& program, const Manifest& manifest) {
  const std::string path = weights_path(program, *manifest.weights);
  EDGETRAIN_CHECK(check_file(path, *manifest.weights));
  EDGETRAIN_TAKE(TensorFile file, TensorFile::open(path));
  EDGETRAIN_CHECK(check_pairing(file, manifest));
  return file;
}

Status ProgramFiles::take_weights(const std::string& path) {
  EDGETRAIN_TAKE(TensorFile given, TensorFile::open(path));
  EDGETRAIN_TAKE(const Contents contents, read_contents(given));
  change_holds = contents.holds;
  if (contents.holds != Holds::kFull) {
    if (!manifest) {
      return bad_input({path, " does not hold all weights, and ", program.path(), " names no others"});
    }
    EDGETRAIN_CHECK(check_change(given, contents, *manifest));
    change = std::move(given);
    return {};
  }
  if (manifest) EDGETRAIN_CHECK(check_pairing(given, *manifest));
  // Nothing else would find damage in it.
  if (manifest && !given.digest_offset() && !check_file(path, *manifest->weights).ok()) {
    return bad_input({path,
                      " has no digest; it was not written by edgetrain, or was rewritten; use the file that "
                      "edgetrain wrote"});
  }
  weights = std::move(given);
  return {};
}

Result<ProgramFiles> ProgramFiles::open(const std::string& program, const std::string& weights) {
  EDGETRAIN_CHECK(recover(program));
  EDGETRAIN_TAKE(MappedFile mapped, MappedFile::open(program));
  ProgramFiles files{std::move(mapped), {}, {}, Holds::kFull, {}};
  const std::string beside = manifest_path(program);
  if (file_exists(beside)) {
    EDGETRAIN_TAKE(files.manifest, load_manifest(beside));
    EDGETRAIN_CHECK(check_file(program, files.manifest->program));
  }
  EDGETRAIN_CHECK(check_bounds(files.program));
  const bool names_weights = files.manifest && files.manifest->weights;
  if (files.manifest && !names_weights && !weights.empty()) {
    return bad_input(
        {program, " carries its weights inside; --weights needs a program exported without them"});
  }
  if (!weights.empty()) EDGETRAIN_CHECK(files.take_weights(weights));
  if (names_weights && !files.weights) {
    EDGETRAIN_TAKE(files.weights, open_exported_weights(program, *files.manifest));
  }
  return files;
}

}  // namespace edgetrain
