#pragma once

#include <string>

#include "edgetrain/manifest.h"
#include "json_fields.h"

namespace edgetrain {

/// Reads one preprocessing. What is wrong is in `fields` then.
Preprocessing read_preprocessing(JsonFields& fields, const Json& json);

/// The same as JSON.
std::string preprocessing_json(const Preprocessing& preprocessing);

}  // namespace edgetrain
