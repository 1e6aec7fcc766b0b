#pragma once

#include <string>

namespace edgetrain::kernels {

/// Chooses the instruction set of all kernels: the best of this processor, or the named one.
/// @param name baseline, avx2, avx512 or neon; null or empty for the best
/// @returns whether this processor and build have it
bool use_isa(const char* name);

/// The names of those that both have, with commas; empty where the build is for other processors.
std::string isa_names();

/// The chosen one's name. The best one, if none was chosen.
std::string isa_name();

}  // namespace edgetrain::kernels
