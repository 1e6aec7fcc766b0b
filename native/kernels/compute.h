#pragma once

#include <cstdint>

namespace edgetrain::kernels {

/// c = alpha * a b (+ bias of each column) (+ c), float32. Strides count elements.
struct Gemm {
  int64_t m, n, k;
  const float* a;
  int64_t a_row, a_column;
  const float* b;
  int64_t b_row, b_column;
  float* c;
  int64_t c_row;
  const float* bias;  // [n], or null
  float alpha;
  bool accumulate;
};

/// A convolution of [batch, channels, height, width] with [out_channels, channels / groups, kernel_height,
/// kernel_width], not transposed.
struct Convolution {
  int64_t batch, channels, height, width;
  int64_t out_channels, out_height, out_width;
  int64_t kernel_height, kernel_width;
  int64_t stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x;
  int64_t groups;

  bool depthwise() const { return groups == channels && groups == out_channels; }
};

/// The arithmetic of all kernels, compiled once per instruction set.
struct Compute {
  void (*gemm)(const Gemm& gemm);
  /// @param bias may be null
  void (*convolution)(const Convolution& convolution, const float* input, const float* weight,
                      const float* bias, float* output);
  void (*convolution_grad_input)(const Convolution& convolution, const float* grad_output,
                                 const float* weight, float* grad_input);
  void (*convolution_grad_weight)(const Convolution& convolution, const float* grad_output,
                                  const float* input, float* grad_weight);
  /// Sums of [batch, channels, plane] over batch and plane.
  void (*sum_channels)(const float* from, int64_t batch, int64_t channels, int64_t plane, float* to);
};

}  // namespace edgetrain::kernels
