#include "edgetrain/json.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace edgetrain {
namespace {

constexpr int kDeepest = 64;

class Parser {
 public:
  explicit Parser(const std::string& text) : text_(text) {}

  Result<Json> document() {
    Json value;
    EDGETRAIN_CHECK(this->value(value, 0));
    space();
    if (at_ != text_.size()) return wrong("something follows its end");
    return value;
  }

 private:
  Failure wrong(const char* what) const { return bad_input({std::string(what), " at byte ", at_}); }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  void space() {
    while (peek() == ' ' || peek() == '\n' || peek() == '\r' || peek() == '\t') ++at_;
  }
  bool take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }
  bool word(const char* expected) {
    const std::string wanted = expected;
    if (text_.compare(at_, wanted.size(), wanted) != 0) return false;
    at_ += wanted.size();
    return true;
  }

  Status value(Json& out, int depth) {
    if (depth > kDeepest) return wrong("it is nested too deeply");
    space();
    out.begin = at_;
    EDGETRAIN_CHECK(content(out, depth));
    out.end = at_;
    return {};
  }

  Status content(Json& out, int depth) {
    switch (peek()) {
      case '{':
        return object(out, depth);
      case '[':
        return array(out, depth);
      case '"':
        out.kind = Json::Kind::kString;
        return string(out.string);
      default:
        break;
    }
    if (word("null")) return {};
    if (word("true") || word("false")) {
      out.kind = Json::Kind::kBool;
      out.boolean = text_[at_ - 2] == 'u';
      return {};
    }
    return number(out);
  }

  Status object(Json& out, int depth) {
    out.kind = Json::Kind::kObject;
    ++at_;
    space();
    if (take('}')) return {};
    do {
      space();
      std::pair<std::string, Json> member;
      if (peek() != '"') return wrong("a name is missing");
      EDGETRAIN_CHECK(string(member.first));
      if (out.find(member.first) != nullptr) return wrong("a name is there twice");
      space();
      if (!take(':')) return wrong("a colon is missing");
      EDGETRAIN_CHECK(value(member.second, depth + 1));
      out.object.push_back(std::move(member));
      space();
    } while (take(','));
    return take('}') ? Status() : Status(wrong("a brace is missing"));
  }

  Status array(Json& out, int depth) {
    out.kind = Json::Kind::kArray;
    ++at_;
    space();
    if (take(']')) return {};
    do {
      out.array.emplace_back();
      EDGETRAIN_CHECK(value(out.array.back(), depth + 1));
      space();
    } while (take(','));
    return take(']') ? Status() : Status(wrong("a bracket is missing"));
  }

  Status number(Json& out) {
    // The grammar is checked here, since strtod also takes hexadecimal numbers, inf and nan.
    const size_t start = at_;
    const auto digits = [this] {
      const size_t first = at_;
      while (peek() >= '0' && peek() <= '9') ++at_;
      return at_ > first;
    };
    take('-');
    const size_t whole = at_;
    if (!digits() || (text_[whole] == '0' && at_ - whole > 1)) return wrong("a value is missing or no JSON");
    if (take('.') && !digits()) return wrong("a number ends with its point");
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      if (!digits()) return wrong("an exponent is missing");
    }
    out.kind = Json::Kind::kNumber;
    out.string = text_.substr(start, at_ - start);
    out.number = std::strtod(out.string.c_str(), nullptr);
    return {};
  }

  Status string(std::string& out) {
    ++at_;
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '"') return {};
      if (static_cast<unsigned char>(c) < 0x20) return wrong("a line breaks inside a text");
      if (c != '\\') {
        out += c;
        if (static_cast<unsigned char>(c) < 0x80) continue;
        EDGETRAIN_CHECK(rest_of_character(c, out));
        continue;
      }
      const std::string plain = "\"\\/bfnrt", meant = "\"\\/\b\f\n\r\t";
      const char escape = peek();
      ++at_;
      if (const size_t index = plain.find(escape); escape != '\0' && index != std::string::npos) {
        out += meant[index];
      } else if (escape == 'u') {
        EDGETRAIN_CHECK(unicode(out));
      } else {
        return wrong("an escape is unknown");
      }
    }
    return wrong("a text does not end");
  }

  /// The bytes of UTF-8 that follow the first one of a character.
  Status rest_of_character(char first, std::string& out) {
    const auto lead = static_cast<unsigned char>(first);
    int more = lead >= 0xF5 ? 0 : lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC2 ? 1 : 0;
    if (more == 0) return wrong("a text is no UTF-8");
    for (; more > 0; --more) {
      const char next = peek();
      if ((static_cast<unsigned char>(next) & 0xC0) != 0x80) return wrong("a text is no UTF-8");
      out += next;
      ++at_;
    }
    return {};
  }

  Status unicode(std::string& out) {
    EDGETRAIN_TAKE(unsigned point, four_digits());
    if (point >= 0xD800 && point < 0xDC00) {
      if (!word("\\u")) return wrong("half a character");
      EDGETRAIN_TAKE(const unsigned low, four_digits());
      if (low < 0xDC00 || low > 0xDFFF) return wrong("half a character");
      point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
    } else if (point >= 0xDC00 && point <= 0xDFFF) {
      return wrong("half a character");
    }
    if (point < 0x80) {
      out += static_cast<char>(point);
      return {};
    }
    const int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    const unsigned heads[] = {0, 0xC0, 0xE0, 0xF0};
    out += static_cast<char>(heads[more] | (point >> (6 * more)));
    for (int i = more - 1; i >= 0; --i) out += static_cast<char>(0x80 | ((point >> (6 * i)) & 0x3F));
    return {};
  }

  Result<unsigned> four_digits() {
    unsigned value = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = peek();
      const unsigned digit = c >= '0' && c <= '9'   ? c - '0'
                             : c >= 'a' && c <= 'f' ? c - 'a' + 10
                             : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                    : 16;
      if (digit == 16) return wrong("a \\u escape needs four digits");
      value = value * 16 + digit;
      ++at_;
    }
    return value;
  }

  const std::string& text_;
  size_t at_ = 0;
};

}  // namespace

const Json* Json::find(const std::string& name) const {
  for (const auto& [key, value] : object) {
    if (key == name) return &value;
  }
  return nullptr;
}

Result<Json> parse_json(const std::string& text) { return Parser(text).document(); }

std::string json_quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char code[8];
      std::snprintf(code, sizeof(code), "\\u%04x", static_cast<unsigned>(c));
      out += code;
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string json_number(double value) {
  if (!std::isfinite(value)) return "null";
  char text[32];
  // The shortest of these that reads back as the same number; 17 digits always do.
  for (const int digits : {9, 15, 16, 17}) {
    std::snprintf(text, sizeof(text), "%.*g", digits, value);
    if (std::strtod(text, nullptr) == value) break;
  }
  return text;
}

std::string json_float(double value) {
  if (!std::isfinite(value)) return "null";
  char text[32];
  std::snprintf(text, sizeof(text), "%.9g", value);
  return text;
}

std::string json_list(const std::vector<std::string>& values) {
  std::string text = "[";
  for (const auto& value : values) text += (text.size() > 1 ? ", " : "") + value;
  return text + "]";
}

std::string json_list(const std::vector<int64_t>& values) {
  std::vector<std::string> texts;
  for (const int64_t value : values) texts.push_back(std::to_string(value));
  return json_list(texts);
}

}  // namespace edgetrain
