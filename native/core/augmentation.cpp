#include "edgetrain/augmentation.h"

#include <random>
#include <string>

#include "edgetrain/hashing.h"

namespace edgetrain {

std::vector<Placement> draw_placements(const Augmentation& augmentation, size_t count, uint64_t seed,
                                       uint64_t epoch, uint64_t batch) {
  const std::string purpose =
      std::to_string(seed) + "/augment/" + std::to_string(epoch) + "/" + std::to_string(batch);
  // The numbers of torch.randint: first for all mirrors, then for all positions.
  std::mt19937 generator(static_cast<uint32_t>(blake2b_64(purpose)));
  std::vector<Placement> places(count);
  for (auto& place : places) place.mirrored = generator() % 2 == 1 && augmentation.flip;
  const uint32_t padding = augmentation.crop_padding;
  const auto offset = [&] { return static_cast<int64_t>(generator() % (2 * padding + 1)) - padding; };
  for (auto& place : places) {
    place.row = offset();
    place.column = offset();
  }
  return places;
}

}  // namespace edgetrain
