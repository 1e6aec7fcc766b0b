#pragma once

#include <cstdint>

namespace edgetrain {

/// Memory the process has now [bytes].
uint64_t rss_bytes();

/// Most memory the process has had so far [bytes].
uint64_t peak_rss_bytes();

}  // namespace edgetrain
