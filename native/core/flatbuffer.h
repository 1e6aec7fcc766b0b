#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

namespace edgetrain {

/// Just enough of the flatbuffer encoding to read tables, with every offset checked. A failed read gives
/// zeros and marks the reader as broken, so that callers check once at the end rather than at every number.
class FlatbufferReader {
 public:
  FlatbufferReader(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool broken() const { return broken_; }

  template <typename T>
  T number(size_t at) {
    T value{};
    if (at > size_ || size_ - at < sizeof(T)) {
      broken_ = true;
      return value;
    }
    std::memcpy(&value, data_ + at, sizeof(T));
    return value;
  }

  /// Position of a field of the table at `table`, 0 where the field is absent.
  size_t field(size_t table, unsigned index) {
    const int64_t vtable = static_cast<int64_t>(table) - number<int32_t>(table);
    if (vtable < 0) {
      broken_ = true;
      return 0;
    }
    const size_t place = static_cast<size_t>(vtable);
    const unsigned fields = (number<uint16_t>(place) - 4U) / 2U;
    if (number<uint16_t>(place) < 4 || index >= fields) return 0;
    const uint16_t relative = number<uint16_t>(place + 4 + 2 * index);
    return relative == 0 ? 0 : table + relative;
  }

  size_t target(size_t at) { return at + number<uint32_t>(at); }

  /// First element and count of a vector, with `item` bytes each.
  std::pair<size_t, size_t> vector(size_t table, unsigned index, size_t item) {
    const size_t at = field(table, index);
    if (at == 0) return {0, 0};
    const size_t start = target(at);
    const size_t count = number<uint32_t>(start);
    if (start + 4 > size_ || count > (size_ - start - 4) / item) {
      broken_ = true;
      return {0, 0};
    }
    return {start + 4, count};
  }

  template <typename T>
  T scalar(size_t table, unsigned index) {
    const size_t at = field(table, index);
    return at == 0 ? T{} : number<T>(at);
  }

  /// A table's field that is a table or a vector: where that lies, 0 where the field is absent.
  size_t child(size_t table, unsigned index) {
    const size_t at = field(table, index);
    return at == 0 ? 0 : target(at);
  }

  std::string text(size_t table, unsigned index) {
    const auto [start, count] = vector(table, index, 1);
    return std::string(reinterpret_cast<const char*>(data_) + start, count);
  }

 private:
  const uint8_t* data_;
  size_t size_;
  bool broken_ = false;
};

}  // namespace edgetrain
