#include "edgetrain/commit.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "edgetrain/json.h"
#include "edgetrain/manifest.h"
#include "edgetrain/mapped_file.h"

namespace edgetrain {
namespace {

constexpr char kKind[] = "edgetrain.commit";

/// Nobody else replaces files of this folder meanwhile. The lock is on the folder and leaves no file.
class Alone {
 public:
  explicit Alone(const std::string& folder)
      : handle_(::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
    // Unknown to some file systems.
    if (handle_ >= 0) (void)::flock(handle_, LOCK_EX);
  }
  ~Alone() {
    if (handle_ >= 0) ::close(handle_);
  }
  Alone(const Alone&) = delete;
  Alone& operator=(const Alone&) = delete;
  /// Makes renames last.
  void sync() const {
    if (handle_ >= 0) (void)::fsync(handle_);
  }

 private:
  int handle_;
};

std::string journal_of(const std::string& stem) {
  return folder_part(stem) + "." + file_name(stem) + ".edgetrain-commit";
}

bool starts_with(const std::string& text, const std::string& start) {
  return text.compare(0, start.size(), start) == 0;
}

/// `.NAME.XXXXXX.edgetrain-tmp`, or a file in a folder of such a name, or in one in that.
bool is_temporary(const std::string& source) {
  std::vector<std::string> parts(1);
  for (const char c : source) {
    if (c == '/') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  const std::string &head = parts[0], suffix = kTemporarySuffix;
  const bool named = head.size() > suffix.size() + 1 && head[0] == '.' &&
                     head.compare(head.size() - suffix.size(), suffix.size(), suffix) == 0;
  const auto odd = [](const std::string& part) { return part.empty() || part == ".."; };
  return named && parts.size() <= 3 && std::none_of(parts.begin(), parts.end(), odd);
}

/// Does what the journal says, where there is one; a second time, too.
Status move(const std::string& stem, const Alone& alone) {
  const std::string journal = journal_of(stem), folder = folder_part(stem);
  if (!file_exists(journal)) return {};
  const auto refused = [&journal] {
    return bad_input({journal, " is no record of files to be replaced; delete it"});
  };
  EDGETRAIN_TAKE(const std::string text, read_text(journal));
  const auto parsed = parse_json(text);
  if (!parsed.ok()) return refused();
  const Json* kind = parsed->find("kind");
  const Json* files = parsed->find("files");
  const bool known =
      kind != nullptr && kind->string == kKind && files != nullptr && files->is(Json::Kind::kObject);
  if (!known) return refused();
  for (const auto& [target, source] : files->object) {
    const bool good = starts_with(target, file_name(stem) + ".") && target.find('/') == std::string::npos &&
                      is_temporary(source.string);
    if (!good) return refused();
  }
  for (const auto& [target, source] : files->object) {
    // What is gone has been moved already.
    const bool moved = ::rename((folder + source.string).c_str(), (folder + target).c_str()) == 0;
    if (!moved && errno != ENOENT) {
      return bad_input({folder, target, " was being replaced when the process that did it was stopped, and ",
                        "that can't be ended here (", std::strerror(errno), "); make the folder writable"});
    }
  }
  alone.sync();
  ::unlink(journal.c_str());
  for (const auto& [target, source] : files->object) {
    for (size_t end = source.string.rfind('/'); end != std::string::npos && end > 0;
         end = source.string.rfind('/', end - 1)) {
      ::rmdir((folder + source.string.substr(0, end)).c_str());
    }
  }
  return {};
}

}  // namespace

Status commit_together(const std::string& stem, std::vector<AtomicFile> files) {
  if (files.size() == 1) return files[0].commit();
  std::string members;
  for (AtomicFile& file : files) {
    EDGETRAIN_CHECK(file.finish());
    members += (members.empty() ? "" : ", ") + json_quoted(file_name(file.path())) + ": " +
               json_quoted(file_name(file.temporary()));
  }
  const std::string text = std::string(R"({"kind": ")") + kKind + R"(", "files": {)" + members + "}}\n";
  const Alone alone(folder_part(stem));
  EDGETRAIN_CHECK(move(stem, alone));  // what another process has begun comes first
  EDGETRAIN_CHECK(check_writable(journal_of(stem)));
  EDGETRAIN_TAKE(AtomicFile journal, AtomicFile::open(journal_of(stem)));
  EDGETRAIN_CHECK(journal.write(text.data(), text.size()));
  EDGETRAIN_CHECK(journal.commit());
  for (AtomicFile& file : files) file.release();
  return move(stem, alone);
}

Status recover(const std::string& path) {
  const std::string folder = folder_part(path);
  std::string name = file_name(path);
  while (!name.empty()) {
    if (file_exists(journal_of(folder + name))) {
      const Alone alone(folder);
      EDGETRAIN_CHECK(move(folder + name, alone));
    }
    const size_t dot = name.rfind('.');
    name = dot == std::string::npos ? "" : name.substr(0, dot);
  }
  return {};
}

}  // namespace edgetrain
