#pragma once

#include "edgetrain/arguments.h"
#include "edgetrain/result.h"

namespace edgetrain {

Status run_train(Arguments& arguments);
Status run_evaluate(const Arguments& arguments);
Status run_predict(const Arguments& arguments);
Status run_bench(const Arguments& arguments);
Status run_info(const Arguments& arguments);

}  // namespace edgetrain
