#pragma once

#include <string>
#include <utility>
#include <variant>

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

/// Success, or the reason why not.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Failure failure) : failed_(true), failure_(std::move(failure)) {}
  bool ok() const { return !failed_; }
  /// Only where ok() is false.
  const Failure& failure() const { return failure_; }

 private:
  bool failed_ = false;
  Failure failure_{Exit::kDone, {}};
};

/// A value, or the reason why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : content_(std::move(value)) {}
  Result(Failure failure) : content_(std::move(failure)) {}
  bool ok() const { return std::holds_alternative<T>(content_); }
  /// Only where ok() is false.
  const Failure& failure() const { return *std::get_if<Failure>(&content_); }
  /// Only where ok() is true.
  T& operator*() { return *std::get_if<T>(&content_); }
  const T& operator*() const { return *std::get_if<T>(&content_); }
  T* operator->() { return std::get_if<T>(&content_); }
  const T* operator->() const { return std::get_if<T>(&content_); }

 private:
  std::variant<T, Failure> content_;
};

inline Failure failed(std::string message) { return {Exit::kFailed, std::move(message)}; }
inline Failure bad_usage(std::string message) { return {Exit::kUsage, std::move(message)}; }
inline Failure bad_input(std::string message) { return {Exit::kBadInput, std::move(message)}; }
inline Failure check_failed(std::string message) { return {Exit::kCheckFailed, std::move(message)}; }

}  // namespace edgetrain

#define EDGETRAIN_JOIN_(a, b) a##b
#define EDGETRAIN_JOIN(a, b) EDGETRAIN_JOIN_(a, b)

/// Returns the failure of a Status from the function around it.
#define EDGETRAIN_CHECK(expression)                                                                 \
  do {                                                                                              \
    if (auto status_ = (expression); !status_.ok()) return ::edgetrain::Failure(status_.failure()); \
  } while (false)

/// `declaration = value of expression`, or returns its failure from the function around it.
#define EDGETRAIN_TAKE(declaration, expression) \
  EDGETRAIN_TAKE_(declaration, expression, EDGETRAIN_JOIN(result_, __LINE__))
#define EDGETRAIN_TAKE_(declaration, expression, name)         \
  auto name = (expression);                                    \
  if (!name.ok()) return ::edgetrain::Failure(name.failure()); \
  declaration = std::move(*name)
