#include "functions.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

extern const Compute kCompute;
const Compute kCompute = {gemm, convolution, convolution_grad_input, convolution_grad_weight, sum_channels};

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
