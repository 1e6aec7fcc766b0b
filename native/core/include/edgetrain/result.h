#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace edgetrain {

/// How a command ends; the numbers are those of every edgetrain command.
enum class Exit : int {
  kDone = 0,
  kFailed = 1,       ///< Something outside went wrong: a full disk, a file that can't be written.
  kUsage = 2,        ///< Flags that make no sense, or don't fit the program or the run to be resumed.
  kBadInput = 3,     ///< A missing, damaged or foreign file.
  kCheckFailed = 4,  ///< Loss, gradients or weights that are not finite.
  kInterrupted = 130,
};

/// Why something could not be done, in one line of plain English.
struct Failure {
  Exit exit;
  std::string message;
};

/// Success, or the reason why not. Success takes no memory but a null pointer, and most of what failure takes
/// is done out of line: there is a check at every other line of this library.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Failure failure);
  Status(Status&& other) noexcept : failure_(std::exchange(other.failure_, nullptr)) {}
  Status& operator=(Status&& other) noexcept {
    std::swap(failure_, other.failure_);
    return *this;
  }
  ~Status() {
    if (failure_ != nullptr) drop();
  }
  bool ok() const { return failure_ == nullptr; }
  /// Only where ok() is false.
  const Failure& failure() const { return *failure_; }
  Status status() && { return std::move(*this); }

 private:
  void drop() noexcept;
  Failure* failure_ = nullptr;
};

/// A value, or the reason why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Failure failure) : status_(std::move(failure)) {}
  /// Of a failure.
  Result(Status status) : status_(std::move(status)) {}
  bool ok() const { return status_.ok(); }
  /// Only where ok() is false.
  const Failure& failure() const { return status_.failure(); }
  Status status() && { return std::move(status_); }
  /// Only where ok() is true.
  T& operator*() { return *value_; }
  const T& operator*() const { return *value_; }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  std::optional<T> value_;
  Status status_;
};

/// A part of a text: text as it is, which must outlive the piece, or a number in decimal digits.
class Piece {
 public:
  Piece(const char* text) : text_(text), size_(__builtin_strlen(text)) {}
  Piece(const std::string& text) : text_(text.data()), size_(text.size()) {}
  template <typename Number, typename = std::enable_if_t<std::is_integral_v<Number>>>
  Piece(Number number) {
    std::is_signed_v<Number> ? put(static_cast<int64_t>(number)) : put(static_cast<uint64_t>(number));
  }
  Piece(const Piece&) = delete;

 private:
  friend std::string joined(std::initializer_list<Piece> pieces);
  void put(int64_t number);
  void put(uint64_t number);

  const char* text_ = nullptr;  // null: the digits
  size_t size_;
  char digits_[21];
};

/// The pieces in a row.
std::string joined(std::initializer_list<Piece> pieces);

// Failures by what is to blame, with the message whole or in pieces.
Failure failed(std::string message);
Failure failed(std::initializer_list<Piece> message);
Failure bad_usage(std::string message);
Failure bad_usage(std::initializer_list<Piece> message);
Failure bad_input(std::string message);
Failure bad_input(std::initializer_list<Piece> message);
Failure check_failed(std::initializer_list<Piece> message);

}  // namespace edgetrain

#define EDGETRAIN_JOIN_(a, b) a##b
#define EDGETRAIN_JOIN(a, b) EDGETRAIN_JOIN_(a, b)

/// Returns the failure of a Status or Result from the function around it.
#define EDGETRAIN_CHECK(expression)                                                     \
  do {                                                                                  \
    if (auto status_ = (expression); !status_.ok()) return std::move(status_).status(); \
  } while (false)

/// `declaration = value of expression`, or returns its failure from the function around it.
#define EDGETRAIN_TAKE(declaration, expression) \
  EDGETRAIN_TAKE_(declaration, expression, EDGETRAIN_JOIN(result_, __LINE__))
#define EDGETRAIN_TAKE_(declaration, expression, name) \
  auto name = (expression);                            \
  if (!name.ok()) return std::move(name).status();     \
  declaration = std::move(*name)
