#pragma once

#include <string>

#include "edgetrain/json.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// The text of a JSON document with the digest of itself that it should have: SHA-256 of the text with 64
/// zeros in that place. Without a digest it stays as it is.
std::string sealed(std::string text, const Json& root);

/// Compares a document with its digest.
Status check_seal(const std::string& path, const std::string& text, const Json& root);

}  // namespace edgetrain
