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

/// A max pool of planes, not transposed.
struct MaxPool {
  int64_t planes, height, width, out_height, out_width;
  int64_t kernel_y, kernel_x, stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x;
};

/// One operand of an element-wise operator: element i lies at data[i * step], step 0 or 1.
struct Operand {
  const float* data;
  int64_t step;
};

enum class Binary { kAdd, kSubtract, kMultiply, kDivide };

/// What a dropout draws: a function of these and of an element's place.
struct Dropout {
  uint64_t seed, step;
  uint32_t call;        // within the step
  float chance, scale;  // of dropping an element, and of those that are kept
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
  /// Indices count within a plane.
  void (*max_pool)(const MaxPool& pool, const float* input, float* output, int64_t* indices);
  /// to[row][index[row][i]] += from[row][i]
  void (*scatter_add)(const float* from, const int64_t* index, int64_t rows, int64_t count, float* to,
                      int64_t to_row);
  /// to[c * to_row + r] = from[r * from_row + c]
  void (*transpose)(const float* from, int64_t from_row, float* to, int64_t to_row, int64_t rows,
                    int64_t columns);
  void (*relu)(const float* from, int64_t count, float* to);
  void (*less_equal)(const float* from, float value, int64_t count, bool* to);
  void (*select)(const bool* condition, Operand yes, Operand no, int64_t count, float* to);
  /// @param alpha factor of b, for kAdd and kSubtract
  void (*binary)(Binary operation, Operand a, Operand b, float alpha, int64_t count, float* to);
  /// to[o][i] = factor * sum over r of from[o][r][i]
  void (*sum_middle)(const float* from, int64_t outer, int64_t reduced, int64_t inner, float factor,
                     float* to);
  void (*dropout)(const Dropout& dropout, const float* from, int64_t count, float* to, bool* kept);
};

}  // namespace edgetrain::kernels
