#pragma once

namespace edgetrain {

/// Keeps ExecuTorch's log off stderr and remembers its last error instead, to be quoted in one line of our
/// own. Call once, before anything else of the runtime; without it failures are told in less words.
/// @param gave_up is told why, before the process aborts
void keep_runtime_log(void (*gave_up)(const char* message));

}  // namespace edgetrain
