#include "sealed.h"

#include "edgetrain/hashing.h"

namespace edgetrain {
namespace {

const Json* digest_of(const Json& root) {
  const Json* value = root.find("digest");
  return value != nullptr && value->is(Json::Kind::kString) ? value : nullptr;
}

}  // namespace

std::string sealed(std::string text, const Json& root) {
  const Json* place = digest_of(root);
  if (place == nullptr) return text;
  const auto put = [&text, place](size_t length, const std::string& digest) {
    text.replace(place->begin, length, json_quoted(digest));
  };
  const std::string blank(64, '0');
  put(place->end - place->begin, blank);
  put(blank.size() + 2, hex(sha256(text.data(), text.size())));
  return text;
}

Status check_seal(const std::string& path, const std::string& text, const Json& root) {
  if (digest_of(root) != nullptr && sealed(text, root) == text) return {};
  return bad_input({path,
                    " was changed after it was written, or is damaged (its digest is another); copy it "
                    "again, or make it anew"});
}

}  // namespace edgetrain
