#include "scratch.h"

#include <new>

namespace edgetrain::kernels {
namespace {

constexpr std::align_val_t kAlignment = std::align_val_t(64);

struct Buffer {
  void* data = nullptr;
  size_t bytes = 0;
  ~Buffer() { free(); }
  void free() {
    ::operator delete(data, kAlignment);
    data = nullptr;
    bytes = 0;
  }
};
// Threads of Python may each run a method.
thread_local Buffer buffers[static_cast<size_t>(Scratch::kCount)];

}  // namespace

void* scratch(Scratch purpose, size_t bytes) {
  Buffer& buffer = buffers[static_cast<size_t>(purpose)];
  if (bytes > buffer.bytes) {
    buffer.free();
    buffer.data = ::operator new(bytes, kAlignment);
    buffer.bytes = bytes;
  }
  return buffer.data;
}

size_t scratch_bytes() {
  size_t sum = 0;
  for (const Buffer& buffer : buffers) sum += buffer.bytes;
  return sum;
}

}  // namespace edgetrain::kernels
