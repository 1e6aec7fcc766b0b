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

/// Windows over planes.
struct Pool {
  int64_t planes, height, width, out_height, out_width;
  int64_t kernel_y, kernel_x, stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x;
};

/// One loop over elements, and how many elements apart two of its steps lie in each operand. Loops come
/// outermost first; the first operand is the result, whose elements lie in order.
template <int kOperands>
struct Loop {
  int64_t size;
  int64_t step[kOperands];
};

/// Functions of one number. Some have parameters p and q.
enum class Unary {
  kAbsolute,
  kClamp,  // to at least p, at most q
  kErf,
  kExp,
  kGelu,
  kGeluTanh,
  kLeakyRelu,  // p: the slope below zero
  kLog,
  kNegative,
  kReciprocal,
  kRelu,
  kRsqrt,
  kSigmoid,
  kSqrt,
  kSquare,
  kTanh
};
enum class Binary { kAdd, kSubtract, kMultiply, kDivide, kMaximum, kMinimum };
enum class Bits { kAnd, kOr, kXor };
enum class Comparison { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual };

/// Rows of channels x plane elements with mean 0 and variance 1, scaled and shifted per channel. The channels
/// of row r are those of group r % groups.
struct Normalization {
  int64_t rows, channels, plane;
  float eps;
  int64_t groups = 1;
};

/// What a dropout draws: a function of these and of an element's place.
struct Dropout {
  uint64_t seed, step;
  uint32_t call;        // within the step
  float chance, scale;  // of dropping an element, and of those that are kept
};

/// A step of SGD. All gradients are multiplied by `scale` first.
struct Sgd {
  float rate, decay, scale;
  float kept, fresh;                 // of the momentum: what it was, and what is new
  float change_part, momentum_part;  // of what is subtracted: Nesterov's takes some of both
};

/// A step of Adam or AdamW, whose corrections of the means' bias are part of `size` and `root`.
struct Adam {
  float scale;          // of all gradients
  float shrink, decay;  // of the values: as a factor (AdamW), and as part of the gradient (Adam)
  float beta2, fresh1, fresh2, size, root, eps;
};

/// The arithmetic of all kernels, compiled once per instruction set.
struct Compute {
  void (*gemm)(const Gemm& gemm);
  /// @param bias may be null
  void (*convolution)(const Convolution& convolution, const float* input, const float* weight,
                      const float* bias, float* output);
  void (*convolution_grad_input)(const Convolution& convolution, const float* grad_output,
                                 const float* weight, float* grad_input);
  /// @param grad_bias may be null
  void (*convolution_grad_weight)(const Convolution& convolution, const float* grad_output,
                                  const float* input, float* grad_weight, float* grad_bias);
  /// Sums of [batch, channels, plane] over batch and plane.
  void (*sum_channels)(const float* from, int64_t batch, int64_t channels, int64_t plane, float* to);
  /// Indices count within a plane.
  void (*max_pool)(const Pool& pool, const float* input, float* output, int64_t* indices);
  /// Without dilation.
  /// @param divisor of the sums, or 0 for the number of elements
  void (*mean_pool)(const Pool& pool, bool count_padding, int64_t divisor, const float* input, float* output);
  /// to[row][index[row][i]] += from[row][i]
  void (*scatter_add)(const float* from, const int64_t* index, int64_t rows, int64_t count, float* to,
                      int64_t to_row);
  /// to[c * to_row + r] = from[r * from_row + c]
  void (*transpose)(const float* from, int64_t from_row, float* to, int64_t to_row, int64_t rows,
                    int64_t columns);
  void (*unary)(Unary operation, const float* from, int64_t count, float p, float q, float* to);
  // In the innermost loop, operands that are broadcast have step 0, others step 1.
  /// @param alpha factor of b, for kAdd and kSubtract
  void (*binary)(Binary operation, const Loop<3>* loops, int64_t depth, const float* a, const float* b,
                 float alpha, float* to);
  void (*compare)(Comparison operation, const Loop<3>* loops, int64_t depth, const float* a, const float* b,
                  bool* to);
  /// Elements of any type, as bytes.
  void (*combine_bits)(Bits operation, const uint8_t* a, const uint8_t* b, int64_t count, uint8_t* to);
  void (*select)(const Loop<4>* loops, int64_t depth, const bool* condition, const float* yes,
                 const float* no, float* to);
  /// to[o][i] = factor * sum over r of from[o][r][i]
  void (*sum_middle)(const float* from, int64_t outer, int64_t reduced, int64_t inner, float factor,
                     float* to);
  /// Of the middle one of three dimensions.
  void (*softmax)(bool log, const float* from, int64_t outer, int64_t count, int64_t inner, float* to);
  /// @param weight, bias per channel, or null
  void (*normalize)(const Normalization& norm, const float* input, const float* weight, const float* bias,
                    float* output, float* mean, float* rstd);
  /// to = from * scale + shift of each channel.
  void (*scale_channels)(const float* from, int64_t batch, int64_t channels, int64_t plane,
                         const float* scale, const float* shift, float* to);
  /// @param velocity the momentum, or null
  void (*sgd)(const Sgd& step, const float* gradient, int64_t count, float* value, float* velocity);
  void (*adam)(const Adam& step, const float* gradient, int64_t count, float* value, float* mean,
               float* square);
  void (*dropout)(const Dropout& dropout, const float* from, int64_t count, float* to, bool* kept);
};

}  // namespace edgetrain::kernels
