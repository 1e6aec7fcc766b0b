#include "edgetrain/program_files.h"

#include <algorithm>
#include <cstring>

namespace edgetrain {
namespace {

/// The header of a .pte says how long it has to be; without a manifest nothing else does.
Status check_bounds(const MappedFile& file) {
  if (file.size() < 8 || std::memcmp(file.data() + 4, "ET12", 4) != 0) {
    return bad_input(file.path() + " is no ExecuTorch program");
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
  if (!whole) return bad_input(file.path() + " is cut short; copy or export it again");
  return {};
}

std::vector<TensorEntry> as_entries(const std::vector<TensorRecord>& records) {
  std::vector<TensorEntry> entries;
  for (const auto& record : records) {
    TensorEntry entry;
    entry.name = record.name;
    entry.shape = record.shape;
    entry.dtype = -1;
    for (int8_t number = 0; number < 16; ++number) {
      if (item_bytes(number) > 0 && dtype_name(number) == record.dtype) entry.dtype = number;
    }
    entries.push_back(std::move(entry));
  }
  return entries;
}

Status check_pairing(const TensorFile& weights, const Manifest& manifest) {
  const auto wanted = as_entries(manifest.tensors);
  if (weights.pairing() == manifest.pairing && pairing_hash(wanted) == manifest.pairing) return {};
  std::string difference = "its manifest was changed";
  for (const auto& found : weights.entries()) {
    const bool known =
        std::any_of(wanted.begin(), wanted.end(), [&](const auto& w) { return w.name == found.name; });
    if (!known) difference = found.name + " is not part of the program";
  }
  for (const auto& tensor : wanted) {
    const TensorEntry* found = weights.find(tensor.name);
    if (found == nullptr) {
      difference = tensor.name + " is missing";
    } else if (found->shape != tensor.shape || found->dtype != tensor.dtype) {
      difference = tensor.name + " is " + describe(found->shape, found->dtype) + ", the program's is " +
                   describe(tensor.shape, tensor.dtype);
    }
  }
  return bad_input(weights.file().path() + " belongs to another program than " + manifest.program.name +
                   ": " + difference);
}

}  // namespace

std::string weights_path(const std::string& program, const FileRecord& record) {
  return program.substr(0, program.size() - file_name(program).size()) + file_name(record.name);
}

Result<ProgramFiles> ProgramFiles::open(const std::string& program, const std::string& weights) {
  EDGETRAIN_TAKE(MappedFile mapped, MappedFile::open(program));
  ProgramFiles files{std::move(mapped), std::nullopt, std::nullopt};
  const std::string beside = manifest_path(program);
  if (file_exists(beside)) {
    EDGETRAIN_TAKE(files.manifest, load_manifest(beside));
    EDGETRAIN_CHECK(check_program(program, *files.manifest));
  }
  EDGETRAIN_CHECK(check_bounds(files.program));
  std::string path = weights;
  if (files.manifest && !files.manifest->weights && !path.empty()) {
    return bad_input(program +
                     " carries its weights inside; --weights needs a program exported without them");
  }
  if (files.manifest && files.manifest->weights && path.empty()) {
    path = weights_path(program, *files.manifest->weights);
    EDGETRAIN_CHECK(check_file(path, *files.manifest->weights));
  }
  if (!path.empty()) {
    EDGETRAIN_TAKE(files.weights, TensorFile::open(path));
    if (files.manifest) {
      EDGETRAIN_CHECK(check_pairing(*files.weights, *files.manifest));
      // Nothing else would find damage in it.
      if (!files.weights->digest_offset() && !check_file(path, *files.manifest->weights).ok()) {
        return bad_input(path +
                         " has no digest; it was not written by edgetrain, or was rewritten; use the file "
                         "that edgetrain wrote");
      }
    }
  }
  return files;
}

}  // namespace edgetrain
