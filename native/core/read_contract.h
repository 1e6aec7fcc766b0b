#pragma once

#include "edgetrain/contract.h"
#include "json_fields.h"

namespace edgetrain {

/// Reads the `contract` of a manifest. What is wrong is in `fields` then.
Contract read_contract(JsonFields& fields, const Json& json);

}  // namespace edgetrain
