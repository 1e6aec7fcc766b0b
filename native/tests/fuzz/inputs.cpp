#include "inputs.h"

#include <cstring>

#include "../../core/sealed.h"
#include "edgetrain/dataset.h"
#include "edgetrain/flat_tensor.h"
#include "edgetrain/hashing.h"
#include "edgetrain/job.h"
#include "edgetrain/json.h"
#include "edgetrain/manifest.h"
#include "edgetrain/program.h"

namespace fuzz {
namespace {

using namespace edgetrain;

bool ends_in(const std::string& text, const char* end) {
  const size_t size = std::strlen(end);
  return text.size() >= size && text.compare(text.size() - size, size, end) == 0;
}

void write(const std::string& path, const std::string& bytes) {
  auto file = AtomicFile::open(path);
  if (file.ok() && file->write(bytes.data(), bytes.size()).ok()) (void)file->commit().ok();
}

/// The program that lies among the files.
std::string program_beside(const std::string& path) { return folder_part(path) + "program.pte"; }

bool take_program(const std::string& path, const std::string& weights) {
  auto files = ProgramFiles::open(path, weights);
  if (!files.ok()) return false;
  auto program = Program::load(std::move(*files), use::kAll);
  return program.ok() && (*program)->try_out().ok();
}

bool take_data(const std::string& path) {
  auto data = Dataset::open({path});
  auto manifest = load_manifest(manifest_path(program_beside(path)));
  return data.ok() && manifest.ok() && data->check_fits(manifest->contract).ok();
}

}  // namespace

void seal(const std::string& seed, const std::string& path, std::string& bytes) {
  if (ends_in(seed, ".pte")) {
    // The hash of a program stands in its manifest.
    const FileRecord record = {file_name(path), bytes.size(), hex(sha256(bytes.data(), bytes.size()))};
    auto text = manifest_for(manifest_path(seed), record);
    if (text.ok()) write(manifest_path(path), *text);
  } else if (ends_in(seed, ".json")) {
    const auto root = parse_json(bytes);
    if (root.ok()) bytes = sealed(std::move(bytes), *root);
  } else if (ends_in(seed, ".ptd")) {
    const auto file = TensorFile::open(seed);
    if (!file.ok() || !file->digest_offset() || *file->digest_offset() + sizeof(Digest) > bytes.size())
      return;
    char* place = bytes.data() + *file->digest_offset();
    std::memset(place, 0, sizeof(Digest));
    const Digest digest = sha256(bytes.data(), bytes.size());
    std::memcpy(place, digest.data(), sizeof(Digest));
  }
}

bool take(const std::string& path) {
  if (ends_in(path, "job.json")) return load_job(path).ok();
  if (ends_in(path, "data.json")) return load_dataset_manifest(path).ok();
  if (ends_in(path, ".json")) return load_manifest(path).ok() && take_program(program_beside(path), "");
  if (ends_in(path, ".pte")) return take_program(path, "");
  if (ends_in(path, "data.ptd") || ends_in(path, ".bin")) return take_data(path);
  return TensorFile::open(path).ok() && take_program(program_beside(path), path);
}

}  // namespace fuzz
