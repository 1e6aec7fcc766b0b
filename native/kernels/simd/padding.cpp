#include "padding.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

void pad_plane(const float* from, int64_t height, int64_t width, const Window& window, float* to) {
  const int64_t begin = max<int64_t>(0, -window.top), end = min(height, window.height - window.top);
  const int64_t columns = max<int64_t>(0, min(width, window.width - window.left));
  __builtin_memset(to, 0, static_cast<size_t>(window.plane()) * sizeof(float));
  for (int64_t y = begin; y < end; ++y) {
    float* target = to + (window.top + y) * window.width + window.left;
    __builtin_memcpy(target, from + y * width, static_cast<size_t>(columns) * sizeof(float));
  }
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
