#include "compute.h"

#define EDGETRAIN_DECLARE(isa, name)      \
  namespace isa {                         \
  decltype(compute::name)::Function name; \
  }
#define EDGETRAIN_ADDRESS(isa, name) isa::name,
#define EDGETRAIN_PER_ISA(name)                   \
  EDGETRAIN_FOR_EACH_ISA(EDGETRAIN_DECLARE, name) \
  const decltype(compute::name) compute::name = {{EDGETRAIN_FOR_EACH_ISA(EDGETRAIN_ADDRESS, name)}};

namespace edgetrain::kernels {

EDGETRAIN_PER_ISA(gemm)
EDGETRAIN_PER_ISA(convolution)
EDGETRAIN_PER_ISA(convolution_grad_input)
EDGETRAIN_PER_ISA(convolution_grad_weight)
EDGETRAIN_PER_ISA(sum_channels)
EDGETRAIN_PER_ISA(max_pool)
EDGETRAIN_PER_ISA(mean_pool)
EDGETRAIN_PER_ISA(scatter_add)
EDGETRAIN_PER_ISA(transpose_matrix)
EDGETRAIN_PER_ISA(absolute)
EDGETRAIN_PER_ISA(error_function)
EDGETRAIN_PER_ISA(exponential)
EDGETRAIN_PER_ISA(exponential_minus_one)
EDGETRAIN_PER_ISA(gelu)
EDGETRAIN_PER_ISA(gelu_tanh)
EDGETRAIN_PER_ISA(hyperbolic_tangent)
EDGETRAIN_PER_ISA(logarithm)
EDGETRAIN_PER_ISA(logarithm_of_one_plus)
EDGETRAIN_PER_ISA(negative)
EDGETRAIN_PER_ISA(reciprocal)
EDGETRAIN_PER_ISA(reciprocal_root)
EDGETRAIN_PER_ISA(relu)
EDGETRAIN_PER_ISA(sigmoid)
EDGETRAIN_PER_ISA(sign)
EDGETRAIN_PER_ISA(square)
EDGETRAIN_PER_ISA(square_root)
EDGETRAIN_PER_ISA(clamp)
EDGETRAIN_PER_ISA(elu)
EDGETRAIN_PER_ISA(leaky_relu)
EDGETRAIN_PER_ISA(add)
EDGETRAIN_PER_ISA(subtract)
EDGETRAIN_PER_ISA(multiply)
EDGETRAIN_PER_ISA(divide)
EDGETRAIN_PER_ISA(maximum)
EDGETRAIN_PER_ISA(minimum)
EDGETRAIN_PER_ISA(equal)
EDGETRAIN_PER_ISA(not_equal)
EDGETRAIN_PER_ISA(less)
EDGETRAIN_PER_ISA(less_equal)
EDGETRAIN_PER_ISA(greater)
EDGETRAIN_PER_ISA(greater_equal)
EDGETRAIN_PER_ISA(combine_bits)
EDGETRAIN_PER_ISA(bytes_of_integers)
EDGETRAIN_PER_ISA(integers_of_bytes)
EDGETRAIN_PER_ISA(combine_integers)
EDGETRAIN_PER_ISA(combine_bytes)
EDGETRAIN_PER_ISA(select)
EDGETRAIN_PER_ISA(sum_middle)
EDGETRAIN_PER_ISA(softmax)
EDGETRAIN_PER_ISA(lstm)
EDGETRAIN_PER_ISA(lstm_backward)
EDGETRAIN_PER_ISA(gru)
EDGETRAIN_PER_ISA(gru_backward)
EDGETRAIN_PER_ISA(rnn)
EDGETRAIN_PER_ISA(rnn_backward)
EDGETRAIN_PER_ISA(normalize)
EDGETRAIN_PER_ISA(scale_channels)
EDGETRAIN_PER_ISA(sgd)
EDGETRAIN_PER_ISA(adam)
EDGETRAIN_PER_ISA(uniform)
EDGETRAIN_PER_ISA(normal)
EDGETRAIN_PER_ISA(dropout)

}  // namespace edgetrain::kernels
