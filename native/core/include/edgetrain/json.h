#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "edgetrain/result.h"

namespace edgetrain {

/// A JSON value, with the place in the text it was read from, so that a value can be replaced in the text
/// without writing everything else anew.
struct Json {
  enum class Kind { kNull, kBool, kNumber, kString, kArray, kObject };
  Kind kind = Kind::kNull;
  bool boolean = false;
  double number = 0;
  std::string string;  ///< of a number: its digits, as they stand
  std::vector<Json> array;
  std::vector<std::pair<std::string, Json>> object;
  size_t begin = 0, end = 0;

  /// A member of an object, or null where there is none.
  const Json* find(const std::string& name) const;
  bool is(Kind wanted) const { return kind == wanted; }
};

/// Reads one JSON document, strictly: nothing after it, no duplicate names, no comments.
Result<Json> parse_json(const std::string& text);

/// Text in quotes, escaped.
std::string json_quoted(const std::string& text);

/// A number that reads back as the same double; null where it is not finite.
std::string json_number(double value);

/// A float32 in as few digits as tell all of them apart; null where it is not finite.
std::string json_float(double value);

/// Values that are JSON already, as an array.
std::string json_list(const std::vector<std::string>& values);
std::string json_list(const std::vector<int64_t>& values);

}  // namespace edgetrain
