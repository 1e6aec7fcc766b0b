#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace edgetrain {

using Digest = std::array<uint8_t, 32>;

/// SHA-256 over bytes given piece by piece.
class Sha256 {
 public:
  Sha256();
  void update(const void* data, size_t size);
  /// The hash of everything given; the object is spent then.
  Digest finish();

 private:
  void block(const uint8_t* data);
  std::array<uint32_t, 8> state_;
  std::array<uint8_t, 64> pending_;
  size_t pending_size_ = 0;
  uint64_t total_ = 0;
};

Digest sha256(const void* data, size_t size);

/// Lower-case hexadecimal digits, as manifests hold them.
std::string hex(const Digest& digest);

/// BLAKE2b with an 8-byte result, read as a little-endian number: what Python's
/// `hashlib.blake2b(text, digest_size=8)` gives, from which edgetrain's generators are seeded.
uint64_t blake2b_64(const std::string& text);

}  // namespace edgetrain
