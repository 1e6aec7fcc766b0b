// The methods of convolution.cpp's table, each in a file of its own. Of the arguments, biases may be null.
#pragma once

#include "../compute.h"
#include "vector.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

/// Elements of a 3x3 kernel.
constexpr int kTaps = 9;

/// The convolution of grad_output by which a 3x3 kernel, turned around, gives grad_input, where strides
/// are 1.
constexpr Convolution turned(const Convolution& c) {
  Convolution back = c;
  back.channels = c.out_channels, back.height = c.out_height, back.width = c.out_width;
  back.out_channels = c.channels, back.out_height = c.height, back.out_width = c.width;
  back.padding_y = 2 - c.padding_y, back.padding_x = 2 - c.padding_x;
  return back;
}

/// The bias's gradient, unless it is not asked for.
void sum_bias(const Convolution& c, const float* grad_output, float* grad_bias);

void depthwise(const Convolution& c, const float* input, const float* weight, const float* bias,
               float* output);
void depthwise_grad_input(const Convolution& c, const float* grad_output, const float* weight,
                          float* grad_input);
void depthwise_grad_weight(const Convolution& c, const float* grad_output, const float* input,
                           float* grad_weight, float* grad_bias);

/// By tiles of kOutputs x kOutputs output pixels, 4 or 2.
template <int kOutputs>
void winograd(const Convolution& c, const float* input, const float* weight, const float* bias,
              float* output);
template <int kOutputs>
void winograd_grad_input(const Convolution& c, const float* grad_output, const float* weight,
                         float* grad_input);
template <int kOutputs>
void winograd_grad_weight(const Convolution& c, const float* grad_output, const float* input,
                          float* grad_weight, float* grad_bias);

void narrow(const Convolution& c, const float* input, const float* weight, const float* bias, float* output);
void narrow_grad_weight(const Convolution& c, const float* grad_output, const float* input,
                        float* grad_weight, float* grad_bias);

void direct(const Convolution& c, const float* input, const float* weight, const float* bias, float* output);
void direct_grad_input(const Convolution& c, const float* grad_output, const float* weight,
                       float* grad_input);
void direct_grad_weight(const Convolution& c, const float* grad_output, const float* input,
                        float* grad_weight, float* grad_bias);

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
