// What a client may say about the whole process. None of it is needed: the kernels take the best instruction
// set, and ExecuTorch as many threads as it finds sensible.
#pragma once

#include <cstdint>
#include <string>

#include "edgetrain/result.h"

namespace edgetrain {

/// Chooses the instruction set of all kernels.
/// @param name baseline, avx2, avx512 or neon; null or empty for the best
Status use_instruction_set(const char* name);

/// Sets the number of CPU threads.
Status set_threads(uint32_t threads);

/// CPU threads kernels may use.
uint32_t thread_count();

}  // namespace edgetrain
