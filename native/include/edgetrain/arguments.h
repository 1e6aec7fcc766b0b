#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "edgetrain/augmentation.h"
#include "edgetrain/manifest.h"
#include "edgetrain/result.h"
#include "edgetrain/trainer.h"

namespace edgetrain {

/// Everything the command line can say.
struct Arguments {
  std::string command;  ///< train, evaluate, predict, bench, info; empty: only help was asked for
  bool help = false;
  std::string program;  ///< the file named first: a program, or for info any file
  std::string weights;
  std::vector<std::string> data, validation;
  std::optional<uint64_t> batch_size, threads;
  bool shuffle = true;
  Augmentation augmentation;
  bool resume = false;
  std::string profile;  ///< where the etdump goes; empty: nothing is profiled
  uint64_t profile_batches = 20;
  bool preprocessed = false;                   ///< samples are taken as they are
  std::string gradients;                       ///< where those of the first step go; empty: nowhere
  std::optional<Preprocessing> preprocessing;  ///< for programs without a manifest
  TrainSettings train;
};

/// Reads and checks the command line; `argv` is permuted as getopt_long does.
Result<Arguments> parse_arguments(int argc, char** argv);

/// A line that `bench` reads: how many steps to take.
Result<uint64_t> parse_steps(const std::string& line);

/// The help of a command, or of all where it is empty.
std::string help_text(const std::string& command);

}  // namespace edgetrain
