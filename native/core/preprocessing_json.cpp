#include "preprocessing_json.h"

#include <cmath>

namespace edgetrain {
namespace {

std::string list(const std::vector<float>& values) {
  std::vector<std::string> numbers;
  for (const float value : values) numbers.push_back(json_float(value));
  return json_list(numbers);
}

}  // namespace

Preprocessing read_preprocessing(JsonFields& fields, const Json& json) {
  Preprocessing out;
  out.scale = static_cast<float>(fields.real(json, "scale"));
  const auto mean = fields.reals(fields.at(json, "mean", Json::Kind::kArray));
  const auto std = fields.reals(fields.at(json, "std", Json::Kind::kArray));
  out.mean.assign(mean.begin(), mean.end());
  out.std.assign(std.begin(), std.end());
  bool usable = std::isfinite(out.scale) && !mean.empty() && mean.size() == std.size();
  for (const float deviation : out.std) usable = usable && deviation > 0 && std::isfinite(deviation);
  for (const float value : out.mean) usable = usable && std::isfinite(value);
  if (!usable) fields.wrong("its preprocessing can't be used");
  return out;
}

std::string preprocessing_json(const Preprocessing& preprocessing) {
  return "{\"scale\": " + json_float(preprocessing.scale) + ", \"mean\": " + list(preprocessing.mean) +
         ", \"std\": " + list(preprocessing.std) + "}";
}

}  // namespace edgetrain
