#pragma once

#include "edgetrain/result.h"
namespace edgetrain {

/// From here on SIGINT and SIGTERM only ask for an end; a second one of the same kind ends the process as
/// usual. A closed pipe or a file-size limit becomes an error code of the write rather than a signal.
void catch_interrupts();

/// Whether an end was asked for.
bool interrupt_requested();

/// A failure once that happened, for commands that have nothing to save.
Status check_interrupt();

}  // namespace edgetrain
