#pragma once

#include <cstddef>

namespace edgetrain::kernels {

/// What kernels need memory for, one after another.
enum class Scratch { kPacked, kPadded, kTransposed, kOffsets, kCount };

/// Memory of the kernels' own, kept for the next call. Valid until this thread's next call for the same
/// purpose. Only the thread that runs the method may ask.
/// @throws std::bad_alloc
void* scratch(Scratch purpose, size_t bytes);

/// All that this thread has now.
size_t scratch_bytes();

}  // namespace edgetrain::kernels
