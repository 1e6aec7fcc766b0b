#pragma once

#include <array>
#include <cstdint>

namespace edgetrain {

/// Philox 4x32-10 (Salmon et al. 2011): random numbers as a pure function of key and counter, so that a
/// resumed run draws what an uninterrupted one would have drawn.
std::array<uint32_t, 4> philox(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

/// What every dropout of the process does. A kernel is a plain function without a context of its own, hence
/// the one global behind these.
namespace dropout {

/// Off: everything is kept, unscaled.
void enable(bool on);
/// Masks of the next method call are a function of (seed, step, order of the dropouts in the program).
void begin_step(uint64_t seed, uint64_t step);

}  // namespace dropout
}  // namespace edgetrain
