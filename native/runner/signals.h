#pragma once

#include "edgetrain/stop.h"

namespace edgetrain {

/// From here on SIGINT and SIGTERM only ask for an end; a second one of the same kind ends the process as
/// usual. A closed pipe or a file-size limit becomes an error code of the write rather than a signal. A
/// mapped file that is cut short in place ends the process with a line that names it.
/// @returns what they set
const Stop& catch_signals();

/// Where another process says that it started this one (EDGETRAIN_PARENT, its number), this one ends with it,
/// whatever that one dies of.
void end_with_parent();

}  // namespace edgetrain
