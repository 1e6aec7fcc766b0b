#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "edgetrain/json.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// A setting of fine-tuning, as edgetrain's configuration has it: its section and key there, its flag,
/// bounds, default and help.
struct Setting {
  enum Kind { kWhole, kReal, kText, kSwitch, kRates };
  const char *section, *key, *flag;
  Kind kind;
  bool has_least;
  double least;
  bool least_open;  ///< the bound itself is left out
  bool has_most;
  double most;
  bool most_open;
  const char *default_text, *choices;  ///< empty: none; choices are separated by |
  bool may_change;                     ///< a run that is resumed may have another value
  const char* help;
};

/// All there are, in order.
const std::vector<Setting>& all_settings();

/// A value for each of them; the defaults at first.
class Settings {
 public:
  using Rates = std::vector<std::pair<std::string, double>>;
  Settings();

  /// Takes the value of a flag: a switch's "true" or "false", one PATTERN=LR more of rates, else the value.
  /// The failure is what the value must be.
  Status set(const Setting& setting, const std::string& text);
  Status set(const char* section, const char* key, const std::string& text);
  /// Takes a section of a job. Members that are no settings are refused unless they are among `others`.
  Status read(const std::string& section, const Json& object, const std::vector<std::string>& others = {});
  /// Takes over what `others` has for a value that nobody has set here.
  void default_to(const char* section, const char* key, const Settings& others);
  /// What no single value tells.
  Status check() const;

  /// Whether a flag or a job has set it, rather than its default.
  bool is_given(const char* section, const char* key) const { return given_[find(section, key)]; }
  /// Whether there is a value at all.
  bool has(const char* section, const char* key) const { return !value(section, key).empty(); }
  uint64_t whole(const char* section, const char* key) const;
  double real(const char* section, const char* key) const;
  const std::string& text(const char* section, const char* key) const { return value(section, key); }
  bool on(const char* section, const char* key) const { return value(section, key) == "true"; }
  /// Learning rates by pattern, in order.
  const Rates& rates() const { return rates_; }
  void use_rates(Rates rates) { rates_ = std::move(rates); }

  /// The section as a JSON object's members.
  std::string members(const std::string& section) const;
  /// The settings of `before` that a resumed run may not have changed, but has: "--lr (was 0.1, now 0.2)".
  std::string changes_since(const Settings& before) const;

 private:
  /// Its place, or one behind the last.
  static size_t find(const char* section, const char* key);
  const std::string& value(const char* section, const char* key) const;
  std::string json(size_t index) const;
  Status add_rate(const std::string& pattern, double rate);

  // As text, empty where there is none. Rates have a list of their own.
  std::vector<std::string> values_;
  std::vector<bool> given_;  // those that somebody has set
  Rates rates_;
};

}  // namespace edgetrain
