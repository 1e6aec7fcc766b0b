#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "edgetrain/metrics.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// One JSON object on one line.
class JsonLine {
 public:
  explicit JsonLine(const std::string& event);
  JsonLine& add(const std::string& name, const std::string& text);
  JsonLine& add(const std::string& name, const char* text) { return add(name, std::string(text)); }
  JsonLine& add(const std::string& name, double value);
  JsonLine& add(const std::string& name, uint64_t value);
  JsonLine& add(const std::string& name, bool value);
  JsonLine& add(const std::string& name, const std::optional<double>& value);
  JsonLine& add(const Figures& figures, const std::string& prefix = "");
  /// All members of an object.
  JsonLine& add_members(const std::string& object);
  /// `json` as it stands.
  JsonLine& add_raw(const std::string& name, const std::string& json);
  /// Writes the line to stdout at once, so that a reader sees it while the run goes on.
  Status print() const;

 private:
  std::string text_;
};

}  // namespace edgetrain
