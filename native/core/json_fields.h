#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "edgetrain/json.h"

namespace edgetrain {

/// Looks members of JSON objects up and remembers the first thing that is wrong, so that callers check once.
class JsonFields {
 public:
  using Kind = Json::Kind;
  bool ok() const { return problem_.empty(); }
  const std::string& problem() const { return problem_; }
  void wrong(const std::string& what);

  /// A member that has to be there.
  const Json& at(const Json& object, const char* name, Kind kind);
  /// One that may be missing, or null: null then.
  const Json* find(const Json& object, const char* name, Kind kind);

  const std::string& text(const Json& object, const char* name) {
    return at(object, name, Kind::kString).string;
  }
  int64_t whole(const Json& object, const char* name) { return whole(at(object, name, Kind::kNumber)); }
  int64_t whole(const Json& value);
  double real(const Json& object, const char* name) { return at(object, name, Kind::kNumber).number; }
  std::optional<double> maybe_real(const Json& object, const char* name);
  std::vector<std::string> texts(const Json& list);
  std::vector<double> reals(const Json& list);
  std::vector<int64_t> wholes(const Json& list);

 private:
  std::string problem_;
};

}  // namespace edgetrain
