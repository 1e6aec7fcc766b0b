#pragma once

#include <string>

#include "edgetrain/program_files.h"

namespace edgetrain {

/// What the tensors of a .ptd are, as weights of a program.
struct Contents {
  Holds holds = Holds::kFull;
  std::string base;  ///< SHA-256 of the file of full weights that the rest comes from; empty where it is full
};

/// "full", "trainable" or "delta"; kFull for any other word.
Holds holds_of(const std::string& name);

/// What a file says, or that it holds all weights where it says nothing.
Result<Contents> read_contents(const TensorFile& file);

/// What goes into the entry.
std::string contents_json(const Contents& contents);

}  // namespace edgetrain
