#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace edgetrain {

/// What training does to its images.
struct Augmentation {
  bool flip = false;          ///< mirror half of the images horizontally
  uint32_t crop_padding = 0;  ///< move each image by up to this many pixels in both directions
  /// Inputs [C, H, W] that are moved and mirrored alike; where none is named, all that have this form.
  std::vector<std::string> images;
  /// Targets [H, W] that go with them, and the value that comes in at their borders.
  std::map<std::string, int64_t> masks;

  bool any() const { return flip || crop_padding > 0; }
};

/// Where one image goes.
struct Placement {
  bool mirrored = false;
  /// Row and column of the old image that become the first of the new one; may lie outside.
  int64_t row = 0, column = 0;
};

/// The random choices for a batch: those edgetrain's other runtimes make for (seed, epoch, batch).
std::vector<Placement> draw_placements(const Augmentation& augmentation, size_t count, uint64_t seed,
                                       uint64_t epoch, uint64_t batch);

/// Moves and mirrors an image; pixels from outside are `fill`.
/// @param from, to [planes, height, width]
template <typename T>
void place_image(const T* from, size_t planes, int64_t height, int64_t width, const Placement& place, T fill,
                 T* to) {
  for (size_t p = 0; p < planes; ++p, from += height * width, to += height * width) {
    for (int64_t y = 0; y < height; ++y) {
      const int64_t row = y + place.row;
      const bool inside = row >= 0 && row < height;
      for (int64_t x = 0; x < width; ++x) {
        const int64_t column = (place.mirrored ? width - 1 - x : x) + place.column;
        to[y * width + x] = inside && column >= 0 && column < width ? from[row * width + column] : fill;
      }
    }
  }
}

}  // namespace edgetrain
