#include "json_line.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "edgetrain/json.h"

namespace edgetrain {

JsonLine::JsonLine(const std::string& event) : text_("{\"event\": " + json_quoted(event)) {}

JsonLine& JsonLine::add_raw(const std::string& name, const std::string& json) {
  text_ += ", " + json_quoted(name) + ": " + json;
  return *this;
}

JsonLine& JsonLine::add(const std::string& name, const std::string& text) {
  return add_raw(name, json_quoted(text));
}
JsonLine& JsonLine::add(const std::string& name, double value) { return add_raw(name, json_number(value)); }
JsonLine& JsonLine::add(const std::string& name, uint64_t value) {
  return add_raw(name, std::to_string(value));
}
JsonLine& JsonLine::add(const std::string& name, bool value) {
  return add_raw(name, value ? "true" : "false");
}

JsonLine& JsonLine::add(const std::string& name, const std::optional<double>& value) {
  return add_raw(name, value ? json_number(*value) : "null");
}

JsonLine& JsonLine::add(const Figures& figures, const std::string& prefix) {
  for (const auto& figure : figures) add(prefix + figure.name, figure.value);
  return *this;
}

JsonLine& JsonLine::add_members(const std::string& object) {
  text_ += ", " + object.substr(1, object.size() - 2);
  return *this;
}

Status JsonLine::print() const {
  const bool written = std::printf("%s}\n", text_.c_str()) >= 0 && std::fflush(stdout) == 0;
  return written ? Status() : Status(failed({"can't write to stdout: ", std::strerror(errno)}));
}

}  // namespace edgetrain
