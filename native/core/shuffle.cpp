#include "shuffle.h"

#include <numeric>
#include <random>
#include <string>
#include <utility>

#include "edgetrain/hashing.h"

namespace edgetrain {

std::vector<uint32_t> shuffled_order(size_t count, uint64_t seed, uint64_t epoch) {
  const uint64_t hash = blake2b_64(std::to_string(seed) + "/order/" + std::to_string(epoch));
  std::mt19937 generator(static_cast<uint32_t>(hash));
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0U);
  for (size_t i = 0; i + 1 < count; ++i) std::swap(order[i], order[i + generator() % (count - i)]);
  return order;
}

}  // namespace edgetrain
