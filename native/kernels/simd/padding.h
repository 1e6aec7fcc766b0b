#pragma once

#include "../scratch.h"
#include "math.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

/// As many as fit, at least one, at most all.
inline int64_t how_many(int64_t most_bytes, int64_t bytes_each, int64_t all) {
  return max<int64_t>(1, min(all, most_bytes / max<int64_t>(1, bytes_each)));
}

/// A vector's first elements, at most all of them; zeros after them.
inline Vector load_part(const float* from, int64_t count) {
  return count >= kWidth ? load(from) : load_some(from, count);
}

template <class T>
inline T* scratch_of(Scratch purpose, int64_t count) {
  return static_cast<T*>(scratch(purpose, static_cast<size_t>(count) * sizeof(T)));
}

/// The part of the plane around an image that a convolution looks at: rows from -top on, columns from -left
/// on. Tops may be negative.
struct Window {
  int64_t top, left, height, width;

  int64_t plane() const { return height * width; }
  bool inside(int64_t image_height, int64_t image_width) const {
    return top == 0 && left == 0 && height == image_height && width == image_width;
  }
};

/// What a window sees of an image's plane, with zeros around it.
void pad_plane(const float* from, int64_t height, int64_t width, const Window& window, float* to);

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
