#pragma once

#include "arguments.h"
#include "edgetrain/result.h"
#include "edgetrain/stop.h"

namespace edgetrain {

Status run_train(Arguments& arguments, const Stop& stop);
Status run_evaluate(Arguments& arguments, const Stop& stop);
Status run_predict(Arguments& arguments, const Stop& stop);
Status run_bench(Arguments& arguments, const Stop& stop);
Status run_info(Arguments& arguments);

}  // namespace edgetrain
