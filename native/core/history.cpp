#include "history.h"

#include <algorithm>
#include <utility>

#include "edgetrain/cpu.h"
#include "edgetrain/mapped_file.h"
#include "edgetrain/memory.h"
#include "sealed.h"

namespace edgetrain {
namespace {

constexpr const char* kFound[] = {"threads", "peak_rss_bytes", "best_epoch", "epochs"};

/// One epoch a line.
std::string lines(const std::vector<std::string>& epochs) {
  std::string text = "[";
  for (const auto& epoch : epochs) text += (text.size() > 1 ? ",\n    " : "\n    ") + epoch;
  return text + (epochs.empty() ? "]" : "\n  ]");
}

}  // namespace

Result<History> History::open(const std::string& path) {
  EDGETRAIN_TAKE(std::string text, read_text(path));
  auto parsed = parse_json(text);
  const auto lacks = [&parsed](const char* name) { return parsed->find(name) == nullptr; };
  if (!parsed.ok() || std::any_of(std::begin(kFound), std::end(kFound), lacks)) {
    return bad_input({path, " is no history that this edgetrain fills in; write it again"});
  }
  EDGETRAIN_CHECK(check_seal(path, text, *parsed));
  return History(std::move(text), std::move(*parsed));
}

Result<AtomicFile> History::new_file(const std::string& path, const std::vector<std::string>& epochs,
                                     std::optional<uint64_t> kept_epoch) const {
  const std::string found[] = {std::to_string(thread_count()), std::to_string(peak_rss_bytes()),
                               kept_epoch ? std::to_string(*kept_epoch) : "null", lines(epochs)};
  std::vector<std::pair<const Json*, const std::string*>> values;
  for (size_t i = 0; i < std::size(kFound); ++i) values.emplace_back(root_.find(kFound[i]), &found[i]);
  // From the end, since what follows a value moves with its length.
  std::sort(values.begin(), values.end(),
            [](const auto& a, const auto& b) { return a.first->begin > b.first->begin; });
  std::string text = text_;
  for (const auto& [place, value] : values) text.replace(place->begin, place->end - place->begin, *value);
  EDGETRAIN_TAKE(const Json changed, parse_json(text));
  text = sealed(std::move(text), changed);
  EDGETRAIN_TAKE(AtomicFile file, AtomicFile::open(path));
  EDGETRAIN_CHECK(file.write(text.data(), text.size()));
  return file;
}

}  // namespace edgetrain
