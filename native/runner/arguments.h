#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "edgetrain/job.h"
#include "edgetrain/manifest.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// Everything the command line can say.
struct Arguments {
  std::string command;  ///< train, evaluate, predict, bench, info; empty: only help was asked for
  bool help = false;
  Job job;  ///< all but the program and its settings is train's
  /// Of all inputs, for programs without a manifest.
  std::optional<Preprocessing> preprocessing;
  std::string profile;  ///< where the etdump goes; empty: nothing is profiled
  uint64_t profile_batches = 20;
  std::string gradients;  ///< where those of the first step go; empty: nowhere
};

/// Reads and checks the command line; `argv` is permuted as getopt_long does. Flags override a job's file.
Result<Arguments> parse_arguments(int argc, char** argv);

/// A line that `bench` reads: how many steps to take.
Result<uint64_t> parse_steps(const std::string& line);

/// The help of a command, or of all where it is empty.
std::string help_text(const std::string& command);

}  // namespace edgetrain
