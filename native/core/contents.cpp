#include "contents.h"

#include "json_fields.h"

namespace edgetrain {
namespace {

// As Holds has them.
constexpr const char* kNames[] = {"full", "trainable", "delta"};

}  // namespace

Holds holds_of(const std::string& name) {
  return name == kNames[1] ? Holds::kTrainable : name == kNames[2] ? Holds::kDelta : Holds::kFull;
}

Result<Contents> read_contents(const TensorFile& file) {
  Contents contents;
  const auto found = file.metadata().find(kContentsKey);
  if (found == file.metadata().end()) return contents;
  const auto parsed = parse_json(found->second);
  JsonFields fields;
  if (parsed.ok()) {
    const std::string& name = fields.text(*parsed, "holds");
    contents.holds = holds_of(name);
    if (const Json* base = fields.find(*parsed, "base", Json::Kind::kString)) contents.base = base->string;
    const bool full = contents.holds == Holds::kFull;
    if (full != contents.base.empty() || (full && name != kNames[0]))
      fields.wrong("it says nothing sensible");
  }
  if (parsed.ok() && fields.ok()) return contents;
  return bad_input({file.file().path(), " does not say what it holds in a way this edgetrain knows (",
                    (parsed.ok() ? fields.problem() : parsed.failure().message),
                    "); use the version that wrote it"});
}

std::string contents_json(const Contents& contents) {
  return std::string("{\"holds\": \"") + kNames[static_cast<int>(contents.holds)] +
         "\", \"base\": " + (contents.base.empty() ? "null" : json_quoted(contents.base)) + "}";
}

}  // namespace edgetrain
