#include "scratch.h"

#include <cstdlib>
#include <new>

namespace edgetrain::kernels {
namespace {

struct Buffer {
  void* data = nullptr;
  size_t bytes = 0;
  ~Buffer() { std::free(data); }
};
// Threads of Python may each run a method.
thread_local Buffer buffers[static_cast<size_t>(Scratch::kCount)];

}  // namespace

void* scratch(Scratch purpose, size_t bytes) {
  constexpr size_t kAlignment = 64;
  Buffer& buffer = buffers[static_cast<size_t>(purpose)];
  if (bytes > buffer.bytes) {
    std::free(buffer.data);
    buffer.data = nullptr;
    buffer.bytes = 0;
    const size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    buffer.data = std::aligned_alloc(kAlignment, rounded);
    if (buffer.data == nullptr) throw std::bad_alloc();
    buffer.bytes = rounded;
  }
  return buffer.data;
}

size_t scratch_bytes() {
  size_t sum = 0;
  for (const Buffer& buffer : buffers) sum += buffer.bytes;
  return sum;
}

}  // namespace edgetrain::kernels
