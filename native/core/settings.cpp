#include "edgetrain/settings.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace edgetrain {
namespace {

/// Whether settings are the same one, which it is enough to know their places for.
size_t place(const Setting& setting) { return static_cast<size_t>(&setting - all_settings().data()); }

std::string with_commas(const char* choices) {
  std::string text = choices;
  for (size_t at = 0; (at = text.find('|', at)) != std::string::npos; at += 2) text.replace(at, 1, ", ");
  return text;
}

/// "a whole number of at least 1 and at most 4"
std::string wanted(const Setting& setting) {
  if (setting.kind == Setting::kText) return "one of " + with_commas(setting.choices);
  if (setting.kind == Setting::kSwitch) return "true or false";
  if (setting.kind == Setting::kRates) return "PATTERN=LR, with a rate of at least 0";
  std::string text = setting.kind == Setting::kWhole ? "a whole number" : "a number";
  if (setting.has_least) {
    text += setting.least_open                ? " greater than "
            : setting.kind == Setting::kWhole ? " of at least "
                                              : " from ";
    text += json_number(setting.least);
  }
  if (setting.has_most) {
    text += setting.has_least ? " and " : " ";
    text += (setting.most_open ? "less than " : "at most ") + json_number(setting.most);
  }
  return text;
}

bool inside(const Setting& setting, double value) {
  const bool above =
      !setting.has_least || value > setting.least || (value == setting.least && !setting.least_open);
  const bool below =
      !setting.has_most || value < setting.most || (value == setting.most && !setting.most_open);
  return std::isfinite(value) && above && below;
}

bool is_whole(const std::string& text) {
  errno = 0;
  (void)std::strtoull(text.c_str(), nullptr, 10);
  return !text.empty() && errno == 0 && text.find_first_not_of("0123456789") == std::string::npos;
}

bool is_real(const std::string& text) {
  char* end = nullptr;
  (void)std::strtod(text.c_str(), &end);
  return !text.empty() && *end == '\0' && text.find_first_of("xX ") == std::string::npos;
}

bool is_choice(const char* choices, const std::string& text) {
  return !text.empty() && text.find('|') == std::string::npos &&
         ("|" + std::string(choices) + "|").find("|" + text + "|") != std::string::npos;
}

}  // namespace

const std::vector<Setting>& all_settings() {
  using Kind = Setting::Kind;
  constexpr Kind kWhole = Setting::kWhole, kReal = Setting::kReal, kText = Setting::kText,
                 kSwitch = Setting::kSwitch, kRates = Setting::kRates;
  static const std::vector<Setting> all = {
#define SETTING(...) {__VA_ARGS__},
#include "settings_table.inc"
#undef SETTING
  };
  return all;
}

Settings::Settings() {
  for (const auto& setting : all_settings()) {
    const std::string text = setting.default_text;
    const bool is_real = setting.kind == Setting::kReal && !text.empty();
    // In the form that a value given gets, so that they can be compared.
    values_.push_back(is_real ? json_number(std::strtod(text.c_str(), nullptr)) : text);
  }
  given_.resize(values_.size());
}

Status Settings::set(const Setting& setting, const std::string& text) {
  const double number = std::strtod(text.c_str(), nullptr);
  bool fits = false;
  given_[place(setting)] = true;
  if (setting.kind == Setting::kRates) {
    const size_t equals = text.rfind('=');
    if (equals != std::string::npos && equals > 0 && is_real(text.substr(equals + 1))) {
      return add_rate(text.substr(0, equals), std::strtod(text.c_str() + equals + 1, nullptr));
    }
  } else if (setting.kind == Setting::kText) {
    fits = *setting.choices == '\0' || is_choice(setting.choices, text);
  } else if (setting.kind == Setting::kSwitch) {
    fits = text == "true" || text == "false";
  } else {
    fits = (setting.kind == Setting::kWhole ? is_whole(text) : is_real(text)) && inside(setting, number);
  }
  if (!fits) return bad_usage({"must be ", wanted(setting), ", not '", text, "'"});
  values_[place(setting)] = setting.kind == Setting::kReal ? json_number(number) : text;
  return {};
}

Status Settings::add_rate(const std::string& pattern, double rate) {
  if (!(rate >= 0) || !std::isfinite(rate)) {
    return bad_usage({"must be at least 0 for ", pattern, ", not ", json_number(rate)});
  }
  const auto known =
      std::find_if(rates_.begin(), rates_.end(), [&](const auto& r) { return r.first == pattern; });
  if (known != rates_.end()) {
    known->second = rate;
  } else {
    rates_.emplace_back(pattern, rate);
  }
  return {};
}

Status Settings::read(const std::string& section, const Json& object,
                      const std::vector<std::string>& others) {
  for (const auto& [key, value] : object.object) {
    const auto& all = all_settings();
    const auto known = std::find_if(all.begin(), all.end(), [&section, &key = key](const Setting& s) {
      return section == s.section && key == s.key;
    });
    const std::string name = section + "." + key;
    if (known == all.end()) {
      if (std::find(others.begin(), others.end(), key) != others.end()) continue;
      return bad_input({"there is no setting ", name});
    }
    given_[place(*known)] = true;
    if (value.is(Json::Kind::kNull) && *known->default_text == '\0') {
      values_[place(*known)].clear();
      continue;
    }
    const bool is_number = known->kind == Setting::kWhole || known->kind == Setting::kReal;
    const Json::Kind kind = is_number                         ? Json::Kind::kNumber
                            : known->kind == Setting::kSwitch ? Json::Kind::kBool
                            : known->kind == Setting::kText   ? Json::Kind::kString
                                                              : Json::Kind::kObject;
    if (!value.is(kind)) return bad_input({name, " must be ", wanted(*known)});
    Status taken;
    if (known->kind == Setting::kRates) {
      rates_.clear();
      for (const auto& [pattern, rate] : value.object) {
        if (taken.ok()) taken = add_rate(pattern, rate.is(Json::Kind::kNumber) ? rate.number : -1);
      }
    } else {
      taken = set(*known, kind == Json::Kind::kBool ? (value.boolean ? "true" : "false") : value.string);
    }
    if (!taken.ok()) return bad_input({name, " ", taken.failure().message});
  }
  return {};
}

void Settings::default_to(const char* section, const char* key, const Settings& others) {
  const size_t i = find(section, key);
  if (!given_[i]) values_[i] = others.values_[i];
}

Status Settings::check() const {
  const bool momentum = real("optimizer", "momentum") > 0 && real("optimizer", "dampening") == 0;
  if (text("optimizer", "name") == "sgd" && on("optimizer", "nesterov") && !momentum) {
    return bad_usage("--nesterov needs a momentum greater than 0 and a dampening of 0");
  }
  return {};
}

uint64_t Settings::whole(const char* section, const char* key) const {
  return std::strtoull(value(section, key).c_str(), nullptr, 10);
}

double Settings::real(const char* section, const char* key) const {
  return std::strtod(value(section, key).c_str(), nullptr);
}

size_t Settings::find(const char* section, const char* key) {
  const auto& all = all_settings();
  const auto found = std::find_if(all.begin(), all.end(), [section, key](const Setting& s) {
    return std::strcmp(s.section, section) == 0 && std::strcmp(s.key, key) == 0;
  });
  return static_cast<size_t>(found - all.begin());
}

const std::string& Settings::value(const char* section, const char* key) const {
  static const std::string none;
  const size_t i = find(section, key);
  return i < values_.size() ? values_[i] : none;
}

Status Settings::set(const char* section, const char* key, const std::string& text) {
  const size_t i = find(section, key);
  if (i == values_.size()) return bad_usage({"there is no setting ", section, ".", key});
  const Status taken = set(all_settings()[i], text);
  return taken.ok() ? Status() : Status(bad_usage({section, ".", key, " ", taken.failure().message}));
}

std::string Settings::json(size_t index) const {
  const auto kind = all_settings()[index].kind;
  if (kind == Setting::kRates) {
    std::string text = "{";
    for (const auto& [pattern, rate] : rates_) {
      text += (text.size() > 1 ? ", " : "") + json_quoted(pattern) + ": " + json_number(rate);
    }
    return text + "}";
  }
  if (values_[index].empty()) return "null";
  return kind == Setting::kText ? json_quoted(values_[index]) : values_[index];
}

std::string Settings::members(const std::string& section) const {
  std::string text;
  for (size_t i = 0; i < values_.size(); ++i) {
    if (section != all_settings()[i].section) continue;
    text += (text.empty() ? "" : ", ") + json_quoted(all_settings()[i].key) + ": " + json(i);
  }
  return text;
}

std::string Settings::changes_since(const Settings& before) const {
  std::string changes;
  for (size_t i = 0; i < values_.size(); ++i) {
    const Setting& setting = all_settings()[i];
    const auto shown = [i](const Settings& settings) {
      const std::string& text = settings.values_[i];
      return all_settings()[i].kind == Setting::kRates ? settings.json(i) : text.empty() ? "none" : text;
    };
    const std::string was = shown(before), now = shown(*this);
    if (setting.may_change || was == now) continue;
    changes +=
        (changes.empty() ? "--" : ", --") + std::string(setting.flag) + " (was " + was + ", now " + now + ")";
  }
  return changes;
}

}  // namespace edgetrain
