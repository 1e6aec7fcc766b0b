// Damage as it happens, and as somebody makes it who knows the format.
#pragma once

#include <cstdint>
#include <cstring>
#include <random>
#include <string>

namespace fuzz {

using Random = std::mt19937_64;

inline size_t below(Random& random, size_t limit) { return limit == 0 ? 0 : random() % limit; }

/// Numbers that lie at the edges of what a size, an offset or a count can be.
inline uint64_t odd_number(Random& random, size_t size) {
  const uint64_t numbers[] = {0,
                              1,
                              0x7f,
                              0x80,
                              0xff,
                              0x7fff,
                              0xffff,
                              0x7fffffff,
                              0x80000000,
                              0xffffffff,
                              0x7fffffffffffffff,
                              0x8000000000000000,
                              0xffffffffffffffff,
                              size,
                              size - 1,
                              size / 2};
  return numbers[below(random, std::size(numbers))];
}

/// One change to some bytes.
inline void change(std::string& bytes, Random& random) {
  const size_t size = bytes.size(), at = below(random, size);
  switch (below(random, 8)) {
    case 0:  // a bit
      if (size > 0) bytes[at] = static_cast<char>(bytes[at] ^ (1 << below(random, 8)));
      break;
    case 1:  // a byte
      if (size > 0) bytes[at] = static_cast<char>(random());
      break;
    case 2:
    case 3: {  // a number of 1 to 8 bytes, mostly where one may lie
      const size_t width = size_t{1} << below(random, 4);
      const uint64_t number = odd_number(random, size);
      const size_t place = below(random, 4) != 0 ? at / width * width : at;
      if (place + width <= size) std::memcpy(bytes.data() + place, &number, width);
      break;
    }
    case 4:  // cut short
      if (below(random, 4) == 0) bytes.resize(at);
      break;
    case 5:  // a part is missing
      bytes.erase(at, below(random, 64));
      break;
    case 6:  // a part comes twice
      bytes.insert(below(random, size + 1), bytes.substr(at, below(random, 64)));
      break;
    default: {  // a part lies over another, as where a table is read for another one's
      const std::string part = bytes.substr(at, 1 + below(random, 32));
      const size_t to = below(random, size - part.size() + 1);
      std::memcpy(bytes.data() + to, part.data(), part.size());
    }
  }
}

inline void mutate(std::string& bytes, Random& random) {
  for (size_t left = 1 + below(random, below(random, 4) == 0 ? 12 : 2); left > 0; --left)
    change(bytes, random);
}

}  // namespace fuzz
