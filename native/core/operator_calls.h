#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "edgetrain/result.h"

namespace edgetrain {

/// What a program asks the runtime's registry for: an operator, as in aten::add.out, and the key of a kernel
/// that is made for exactly the element types and dimension orders of one call.
using OperatorCall = std::pair<std::string, std::string>;

/// The kernels all methods of a program call, each once, sorted.
/// @param data the .pte
Result<std::vector<OperatorCall>> operator_calls(const uint8_t* data, size_t size);

}  // namespace edgetrain
