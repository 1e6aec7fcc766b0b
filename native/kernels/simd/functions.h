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
                             float* grad_weight, float* grad_bias);
void sum_channels(const float* from, int64_t batch, int64_t channels, int64_t plane, float* to);

void max_pool(const Pool& pool, const float* input, float* output, int64_t* indices);
void mean_pool(const Pool& pool, bool count_padding, int64_t divisor, const float* input, float* output);
void scatter_add(const float* from, const int64_t* index, int64_t rows, int64_t count, float* to,
                 int64_t to_row);

void transpose_matrix(const float* from, int64_t from_row, float* to, int64_t to_row, int64_t rows,
                      int64_t columns);
UnaryFunction absolute, error_function, exponential, exponential_minus_one, gelu, gelu_tanh,
    hyperbolic_tangent, logarithm, logarithm_of_one_plus, negative, reciprocal, reciprocal_root, relu,
    sigmoid, sign, square, square_root, clamp, elu, leaky_relu;
BinaryFunction add, subtract, multiply, divide, maximum, minimum;
ComparisonFunction equal, not_equal, less, less_equal, greater, greater_equal;
void combine_bits(Bits operation, const uint8_t* a, const uint8_t* b, int64_t count, uint8_t* to);
void bytes_of_integers(const uint64_t* from, int64_t count, uint8_t* to);
void integers_of_bytes(const uint8_t* from, int64_t count, uint64_t* to);
void combine_integers(const Loop<3>* loops, int64_t depth, const uint64_t* a, const uint64_t* b,
                      bool subtract, uint64_t* to);
void combine_bytes(const Loop<3>* loops, int64_t depth, const uint8_t* a, const uint8_t* b, bool subtract,
                   uint8_t* to);
void select(const Loop<4>* loops, int64_t depth, const bool* condition, const float* yes, const float* no,
            float* to);
void sum_middle(const float* from, int64_t outer, int64_t reduced, int64_t inner, float factor, float* to);

void softmax(bool log, const float* from, int64_t outer, int64_t count, int64_t inner, float* to);
void normalize(const Normalization& norm, const float* input, const float* weight, const float* bias,
               float* output, float* mean, float* rstd);
void scale_channels(const float* from, int64_t batch, int64_t channels, int64_t plane, const float* scale,
                    const float* shift, float* to);
void sgd(const Sgd& step, const float* gradient, int64_t count, float* value, float* velocity);
void adam(const Adam& step, const float* gradient, int64_t count, float* value, float* mean, float* square);

void lstm(const Recurrence& r, const Lstm& layer);
void lstm_backward(const Recurrence& r, const LstmBackward& layer);
void gru(const Recurrence& r, const Gru& layer);
void gru_backward(const Recurrence& r, const GruBackward& layer);
void rnn(const Recurrence& r, const Rnn& layer);
void rnn_backward(const Recurrence& r, const RnnBackward& layer);

void uniform(const Draw& draw, int64_t count, float* to);
void normal(const Draw& draw, int64_t count, float* to);
void dropout(const Dropout& dropout, const float* from, int64_t count, float* to, bool* kept);

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
