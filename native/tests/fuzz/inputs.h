// What the runner reads, by the suffix of a file: how its hash is made anew, so that what lies behind it is
// reached, and everything that is done with it.
#pragma once

#include <string>

namespace fuzz {

/// Gives changed contents of `path` the hash that they should have. Contents that have no place for it, or
/// are no document any more, stay as they are.
/// @param seed the file as it was
void seal(const std::string& seed, const std::string& path, std::string& bytes);

/// Reads a file and does with it what the runner does; whether it was taken.
/// @param path among the files that belong to it
bool take(const std::string& path);

}  // namespace fuzz
