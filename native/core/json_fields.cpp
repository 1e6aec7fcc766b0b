#include "json_fields.h"

#include <cmath>

namespace edgetrain {

void JsonFields::wrong(const std::string& what) {
  if (problem_.empty()) problem_ = what;
}

const Json& JsonFields::at(const Json& object, const char* name, Kind kind) {
  static const Json nothing;
  const Json* value = object.find(name);
  if (value != nullptr && value->is(kind)) return *value;
  wrong(std::string(name) + " is missing or of another type");
  return nothing;
}

const Json* JsonFields::find(const Json& object, const char* name, Kind kind) {
  const Json* value = object.find(name);
  if (value == nullptr || value->is(Kind::kNull)) return nullptr;
  return &at(object, name, kind);
}

int64_t JsonFields::whole(const Json& value) {
  // 2^53: beyond it a double can't tell neighbours apart.
  const bool fits = value.is(Kind::kNumber) && value.number == std::floor(value.number) &&
                    std::fabs(value.number) <= 9007199254740992.0;
  if (!fits) wrong("a size is no whole number");
  return fits ? static_cast<int64_t>(value.number) : 0;
}

std::optional<double> JsonFields::maybe_real(const Json& object, const char* name) {
  const Json* value = find(object, name, Kind::kNumber);
  return value == nullptr ? std::nullopt : std::optional<double>(value->number);
}

std::vector<std::string> JsonFields::texts(const Json& list) {
  std::vector<std::string> out;
  for (const Json& item : list.array) {
    if (!item.is(Kind::kString)) wrong("a name is no text");
    out.push_back(item.string);
  }
  return out;
}

std::vector<double> JsonFields::reals(const Json& list) {
  std::vector<double> out;
  for (const Json& item : list.array) {
    // A list of our own writing may hold what JSON has no number for.
    if (!item.is(Kind::kNumber) && !item.is(Kind::kNull)) wrong("a list holds something else than numbers");
    out.push_back(item.is(Kind::kNull) ? std::nan("") : item.number);
  }
  return out;
}

std::vector<int64_t> JsonFields::wholes(const Json& list) {
  std::vector<int64_t> out;
  for (const Json& item : list.array) out.push_back(whole(item));
  return out;
}

}  // namespace edgetrain
