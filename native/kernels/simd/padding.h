#pragma once

#include "../scratch.h"
#include "vector.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

/// Most bytes of copied images and of packed matrices at a time, unless a single one is larger.
constexpr int64_t kImageBytes = 256 << 10, kPackedBytes = 1 << 20;

/// As many as fit, at least one, at most all.
inline int64_t how_many(int64_t most_bytes, int64_t bytes_each, int64_t all) {
  return max<int64_t>(1, min(all, most_bytes / max<int64_t>(1, bytes_each)));
}

/// A vector's first elements, at most all of them; zeros after them.
inline Vector load_part(const float* from, int64_t count) {
  if (count >= kWidth) return load(from);
  float part[kWidth] = {};
  for (int64_t i = 0; i < count; ++i) part[i] = from[i];
  return load(part);
}

inline void store_part(float* to, Vector value, int64_t count) {
  if (count >= kWidth) return store(to, value);
  float part[kWidth];
  store(part, value);
  for (int64_t i = 0; i < count; ++i) to[i] = part[i];
}

template <class T>
inline T* scratch_of(Scratch purpose, int64_t count) {
  return static_cast<T*>(scratch(purpose, static_cast<size_t>(count) * sizeof(T)));
}

/// The part of the plane around an image that a convolution looks at: rows from -top on, columns from -left
/// on. Columns whose index has the same remainder by `phases` lie together, so that a stride becomes a step
/// of one.
struct Window {
  int64_t top, left, height, width;
  int64_t phases = 1;

  int64_t phase_width() const { return divide_up(width, phases); }
  int64_t row() const { return phases * phase_width(); }
  int64_t plane() const { return height * row(); }
  int64_t column(int64_t x) const { return x % phases * phase_width() + x / phases; }
  bool inside(int64_t image_height, int64_t image_width) const {
    return top == 0 && left == 0 && phases == 1 && height == image_height && width == image_width;
  }
};

/// f(first, count, at) per phase: of a row's columns, first, first + phases, ... lie from `at` on.
template <class Function>
inline void for_phases(const Window& window, int64_t columns, const Function& f) {
  for (int64_t phase = 0; phase < window.phases; ++phase) {
    // The first column of the image in that phase.
    const int64_t first = ((phase - window.left) % window.phases + window.phases) % window.phases;
    f(first, max<int64_t>(0, divide_up(columns - first, window.phases)), window.column(window.left + first));
  }
}

template <int kPhases>
inline void copy_every(const float* __restrict from, int64_t phases, int64_t count, float* __restrict to) {
  for (int64_t i = 0; i < count; ++i) to[i] = from[i * (kPhases > 0 ? kPhases : phases)];
}

/// Images with zeros around them, one window each, plane_step apart.
inline void pad_planes(const float* from, int64_t planes, int64_t height, int64_t width, const Window& window,
                       float* to, int64_t plane_step) {
  const int64_t rows = max<int64_t>(0, min(height, window.height - window.top));
  const int64_t columns = max<int64_t>(0, min(width, window.width - window.left));
  parallel(planes, [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; ++plane) {
      float* out = to + plane * plane_step;
      __builtin_memset(out, 0, static_cast<size_t>(plane_step) * sizeof(float));
      for (int64_t y = 0; y < rows; ++y) {
        const float* source = from + (plane * height + y) * width;
        float* target = out + (window.top + y) * window.row();
        if (window.phases == 1) {
          __builtin_memcpy(target + window.left, source, static_cast<size_t>(columns) * sizeof(float));
          continue;
        }
        for_phases(window, columns, [&](int64_t first, int64_t count, int64_t at) {
          if (window.phases == 2) {
            copy_every<2>(source + first, 2, count, target + at);
          } else {
            copy_every<0>(source + first, window.phases, count, target + at);
          }
        });
      }
    }
  });
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
