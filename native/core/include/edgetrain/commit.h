#pragma once

#include <string>
#include <vector>

#include "edgetrain/atomic_file.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// Replaces files of one stem (DIR/NAME.SOMETHING) together: after a crash all are the old ones or the new
/// ones. A journal, `.NAME.edgetrain-commit`, names the temporary files and what they become; once it is on
/// disk, whoever finds it ends the work. `artifacts/commit.py` says more, and does the same in Python.
Status commit_together(const std::string& stem, std::vector<AtomicFile> files);

/// Ends the replacement of a file, and of what belongs to it, that a dead process has begun.
Status recover(const std::string& path);

}  // namespace edgetrain
