#include "edgetrain/result.h"

namespace edgetrain {

Status::Status(Failure failure) : failure_(new Failure(std::move(failure))) {}

void Status::drop() noexcept { delete failure_; }

void Piece::put(int64_t number) {
  put(number < 0 ? 0 - static_cast<uint64_t>(number) : static_cast<uint64_t>(number));
  if (number < 0) digits_[sizeof(digits_) - ++size_] = '-';
}

void Piece::put(uint64_t number) {
  // From the end of the room there is.
  size_ = 0;
  do {
    digits_[sizeof(digits_) - ++size_] = static_cast<char>('0' + number % 10);
    number /= 10;
  } while (number > 0);
}

std::string joined(std::initializer_list<Piece> pieces) {
  std::string text;
  for (const Piece& piece : pieces) {
    text.append(piece.text_ ? piece.text_ : piece.digits_ + sizeof(piece.digits_) - piece.size_, piece.size_);
  }
  return text;
}

Failure failed(std::string message) { return {Exit::kFailed, std::move(message)}; }
Failure failed(std::initializer_list<Piece> message) { return failed(joined(message)); }
Failure bad_usage(std::string message) { return {Exit::kUsage, std::move(message)}; }
Failure bad_usage(std::initializer_list<Piece> message) { return bad_usage(joined(message)); }
Failure bad_input(std::string message) { return {Exit::kBadInput, std::move(message)}; }
Failure bad_input(std::initializer_list<Piece> message) { return bad_input(joined(message)); }
Failure check_failed(std::initializer_list<Piece> message) { return {Exit::kCheckFailed, joined(message)}; }

}  // namespace edgetrain
