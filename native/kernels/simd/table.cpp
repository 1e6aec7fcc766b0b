#include "functions.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

extern const Compute kCompute;
const Compute kCompute = {gemm,
                          convolution,
                          convolution_grad_input,
                          convolution_grad_weight,
                          sum_channels,
                          max_pool,
                          scatter_add,
                          transpose_matrix,
                          relu,
                          less_equal,
                          select,
                          binary,
                          sum_middle,
                          dropout};

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
