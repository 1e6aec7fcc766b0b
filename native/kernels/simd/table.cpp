#include "functions.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

extern const Compute kCompute;
const Compute kCompute = {gemm,
                          convolution,
                          convolution_grad_input,
                          convolution_grad_weight,
                          sum_channels,
                          max_pool,
                          mean_pool,
                          scatter_add,
                          transpose_matrix,
                          unary,
                          binary,
                          compare,
                          combine_bits,
                          select,
                          sum_middle,
                          softmax,
                          normalize,
                          scale_channels,
                          sgd,
                          adam,
                          dropout};

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
