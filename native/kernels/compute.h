#pragma once

#include <edgetrain_build/isas.h>

#include <cstddef>
#include <cstdint>

namespace edgetrain::kernels {

/// c = alpha * a b (+ bias of each column) + kept * c, float32. Strides count elements.
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
  float kept;  // with 0, NaN in c does not count
};

/// A convolution of [batch, channels, height, width] with [out_channels, channels / groups, kernel_height,
/// kernel_width], not transposed.
struct Convolution {
  int64_t batch, channels, height, width;
  int64_t out_channels, out_height, out_width;
  int64_t kernel_height, kernel_width;
  int64_t stride_y, stride_x, padding_y, padding_x, dilation_y, dilation_x;
  int64_t groups;

  constexpr bool depthwise() const { return groups == channels && groups == out_channels; }
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

enum class Bits { kAnd, kOr, kXor };

/// Rows of channels x plane elements with mean 0 and variance 1, scaled and shifted per channel. The channels
/// of row r are those of group r % groups.
struct Normalization {
  int64_t rows, channels, plane;
  float eps;
  int64_t groups = 1;
};

/// Random numbers: a function of these and of an element's place.
struct Draw {
  uint64_t seed, step;
  uint32_t call;  // within the step
};

struct Dropout {
  Draw draw;
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

/// A recurrent layer over [steps, batch, ...]; reversed, it begins with the last step.
struct Recurrence {
  int64_t steps, batch, size;
  bool reverse;
};

/// Of an LSTM: what the inputs give to the gates, both states at first, the weight [4 size, size]; its
/// outputs, the gates (in, kept, new, out) behind their functions, and all states of the cell.
struct Lstm {
  const float *given, *hidden, *cell, *recurrent;
  float *outputs, *gates, *cells;
};
struct LstmBackward {
  const float *grad_outputs, *grad_cells;  // the second may be null
  const float *gates, *cells, *cell, *recurrent;
  float *grad_given, *grad_hidden, *grad_cell;
};

/// Of a GRU: as above with [3 size, size] and a bias or null; its outputs, and for each step the gates
/// (reset, kept, new) behind their functions and, in the fourth place, what is reset.
struct Gru {
  const float *given, *hidden, *recurrent, *bias;
  float *outputs, *gates;
};
/// Gradients of what the inputs give and of the product with the state differ where that is reset.
struct GruBackward {
  const float *grad_outputs, *outputs, *gates, *hidden, *recurrent;
  float *grad_given, *grad_product, *grad_hidden;
};

/// Of a plain layer with one function: ReLU or tanh.
struct Rnn {
  bool relu;
  const float *given, *hidden, *recurrent;
  float* outputs;
};
struct RnnBackward {
  bool relu;
  const float *grad_outputs, *outputs, *recurrent;
  float *grad_given, *grad_hidden;
};

#define EDGETRAIN_ONE(isa, _) +1
/// Instruction sets of this build.
constexpr size_t kIsaCount = 0 EDGETRAIN_FOR_EACH_ISA(EDGETRAIN_ONE, );
#undef EDGETRAIN_ONE

/// The one of them whose functions are called.
size_t chosen_isa();

/// A function that is compiled once per instruction set. A call goes to the chosen one's. Each has a table of
/// its own, so that the linker leaves out those that no kernel of a build calls.
template <class Function>
struct PerIsa;
template <class... Arguments>
struct PerIsa<void(Arguments...)> {
  using Function = void(Arguments...);
  Function* of[kIsaCount];
  void operator()(Arguments... arguments) const { of[chosen_isa()](arguments...); }
};

/// Of each number. Some have parameters p and q.
using UnaryFunction = void(const float* from, int64_t count, float p, float q, float* to);
/// Of two numbers. In the innermost loop, operands that are broadcast have step 0, others step 1.
/// @param alpha factor of b in sums and differences
using BinaryFunction = void(const Loop<3>* loops, int64_t depth, const float* a, const float* b, float alpha,
                            float* to);
using ComparisonFunction = void(const Loop<3>* loops, int64_t depth, const float* a, const float* b,
                                bool* to);
/// a + b or a - b of integers, wrapping around. In the innermost loop all operands have step 1.
template <class T>
using IntegerFunction = void(const Loop<3>* loops, int64_t depth, const T* a, const T* b, bool subtract,
                             T* to);

/// The arithmetic of all kernels, which lies in simd/.
namespace compute {

extern const PerIsa<void(const Gemm& gemm)> gemm;
/// @param bias may be null
extern const PerIsa<void(const Convolution& convolution, const float* input, const float* weight,
                         const float* bias, float* output)>
    convolution;
extern const PerIsa<void(const Convolution& convolution, const float* grad_output, const float* weight,
                         float* grad_input)>
    convolution_grad_input;
/// @param grad_bias may be null
extern const PerIsa<void(const Convolution& convolution, const float* grad_output, const float* input,
                         float* grad_weight, float* grad_bias)>
    convolution_grad_weight;
/// Sums of [batch, channels, plane] over batch and plane.
extern const PerIsa<void(const float* from, int64_t batch, int64_t channels, int64_t plane, float* to)>
    sum_channels;
/// Indices count within a plane.
extern const PerIsa<void(const Pool& pool, const float* input, float* output, int64_t* indices)> max_pool;
/// Without dilation.
/// @param divisor of the sums, or 0 for the number of elements
extern const PerIsa<void(const Pool& pool, bool count_padding, int64_t divisor, const float* input,
                         float* output)>
    mean_pool;
/// to[row][index[row][i]] += from[row][i]
extern const PerIsa<void(const float* from, const int64_t* index, int64_t rows, int64_t count, float* to,
                         int64_t to_row)>
    scatter_add;
/// to[c * to_row + r] = from[r * from_row + c]
extern const PerIsa<void(const float* from, int64_t from_row, float* to, int64_t to_row, int64_t rows,
                         int64_t columns)>
    transpose_matrix;
extern const PerIsa<UnaryFunction> absolute, error_function, exponential, exponential_minus_one, gelu,
    gelu_tanh, hyperbolic_tangent, logarithm, logarithm_of_one_plus, negative, reciprocal, reciprocal_root,
    relu, sigmoid, sign, square, square_root;
/// To at least p, at most q.
extern const PerIsa<UnaryFunction> clamp;
/// q x above zero, p (e^x - 1) below.
extern const PerIsa<UnaryFunction> elu;
/// p is the slope below zero.
extern const PerIsa<UnaryFunction> leaky_relu;
extern const PerIsa<BinaryFunction> add, subtract, multiply, divide, maximum, minimum;
extern const PerIsa<ComparisonFunction> equal, not_equal, less, less_equal, greater, greater_equal;
/// Elements of any type, as bytes.
extern const PerIsa<void(Bits operation, const uint8_t* a, const uint8_t* b, int64_t count, uint8_t* to)>
    combine_bits;
/// Of int64, the lowest byte; of bytes, as int64.
extern const PerIsa<void(const uint64_t* from, int64_t count, uint8_t* to)> bytes_of_integers;
extern const PerIsa<void(const uint8_t* from, int64_t count, uint64_t* to)> integers_of_bytes;
extern const PerIsa<IntegerFunction<uint64_t>> combine_integers;
extern const PerIsa<IntegerFunction<uint8_t>> combine_bytes;
extern const PerIsa<void(const Loop<4>* loops, int64_t depth, const bool* condition, const float* yes,
                         const float* no, float* to)>
    select;
/// to[o][i] = factor * sum over r of from[o][r][i]
extern const PerIsa<void(const float* from, int64_t outer, int64_t reduced, int64_t inner, float factor,
                         float* to)>
    sum_middle;
extern const PerIsa<void(const Recurrence& r, const Lstm& layer)> lstm;
extern const PerIsa<void(const Recurrence& r, const LstmBackward& layer)> lstm_backward;
extern const PerIsa<void(const Recurrence& r, const Gru& layer)> gru;
extern const PerIsa<void(const Recurrence& r, const GruBackward& layer)> gru_backward;
extern const PerIsa<void(const Recurrence& r, const Rnn& layer)> rnn;
extern const PerIsa<void(const Recurrence& r, const RnnBackward& layer)> rnn_backward;
/// Of the middle one of three dimensions.
extern const PerIsa<void(bool log, const float* from, int64_t outer, int64_t count, int64_t inner, float* to)>
    softmax;
/// @param weight, bias per channel, or null
extern const PerIsa<void(const Normalization& norm, const float* input, const float* weight,
                         const float* bias, float* output, float* mean, float* rstd)>
    normalize;
/// to = from * scale + shift of each channel.
extern const PerIsa<void(const float* from, int64_t batch, int64_t channels, int64_t plane,
                         const float* scale, const float* shift, float* to)>
    scale_channels;
/// @param velocity the momentum, or null
extern const PerIsa<void(const Sgd& step, const float* gradient, int64_t count, float* value,
                         float* velocity)>
    sgd;
extern const PerIsa<void(const Adam& step, const float* gradient, int64_t count, float* value, float* mean,
                         float* square)>
    adam;
/// Evenly from [0, 1); with mean 0 and variance 1.
extern const PerIsa<void(const Draw& draw, int64_t count, float* to)> uniform, normal;
extern const PerIsa<void(const Dropout& dropout, const float* from, int64_t count, float* to, bool* kept)>
    dropout;

}  // namespace compute

}  // namespace edgetrain::kernels
