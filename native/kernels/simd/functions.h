// What the files of this folder define for an instruction set's table.
#pragma once

#include "../compute.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

void gemm(const Gemm& gemm);

void convolution(const Convolution& convolution, const float* input, const float* weight, const float* bias,
                 float* output);
void convolution_grad_input(const Convolution& convolution, const float* grad_output, const float* weight,
                            float* grad_input);
void convolution_grad_weight(const Convolution& convolution, const float* grad_output, const float* input,
                             float* grad_weight);
void depthwise(const Convolution& convolution, const float* input, const float* weight, const float* bias,
               float* output);
void depthwise_grad_input(const Convolution& convolution, const float* grad_output, const float* weight,
                          float* grad_input);
void depthwise_grad_weight(const Convolution& convolution, const float* grad_output, const float* input,
                           float* grad_weight);
void sum_channels(const float* from, int64_t batch, int64_t channels, int64_t plane, float* to);

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
