#include "functions.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

extern const Compute kCompute;
const Compute kCompute = {gemm};

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
