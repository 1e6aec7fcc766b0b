// Winograd's minimal filtering (Lavin and Gray 2015, arXiv:1509.09308) of 3x3 kernels, in one direction. A
// tile of pixels and the kernel are each taken to their values at a few points of a polynomial; there the
// convolution is a product per point, which is taken back to output pixels.
#pragma once

#include "vector.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

/// kOutputs pixels from kOutputs + 2 products. The gradients' functions are those of the matrices transposed.
template <int kOutputs>
struct Winograd;

/// At 0, 1, -1 and infinity.
template <>
struct Winograd<2> {
  static inline __attribute__((always_inline)) void input(const Vector* x, Vector* to) {
    to[0] = x[0] - x[2];
    to[1] = x[2] + x[1];
    to[2] = x[2] - x[1];
    to[3] = x[3] - x[1];
  }
  static inline __attribute__((always_inline)) void weight(const Vector* w, Vector* to) {
    const Vector even = 0.5F * (w[0] + w[2]), odd = 0.5F * w[1];
    to[0] = w[0];
    to[1] = even + odd;
    to[2] = even - odd;
    to[3] = w[2];
  }
  static inline __attribute__((always_inline)) void output(const Vector* p, Vector* to) {
    to[0] = p[0] + (p[1] + p[2]);
    to[1] = (p[1] - p[2]) + p[3];
  }
  static inline __attribute__((always_inline)) void grad_output(const Vector* y, Vector* to) {
    to[0] = y[0];
    to[1] = y[0] + y[1];
    to[2] = y[0] - y[1];
    to[3] = y[1];
  }
  static inline __attribute__((always_inline)) void grad_weight(const Vector* p, Vector* to) {
    const Vector even = 0.5F * (p[1] + p[2]);
    to[0] = p[0] + even;
    to[1] = 0.5F * (p[1] - p[2]);
    to[2] = even + p[3];
  }
};

/// At 0, a, -a, b, -b and infinity. Of the points whose powers are exact these lose least: half of what 1 and
/// 2 do.
template <>
struct Winograd<4> {
  static constexpr float a = 0.625F, b = 1.5F, aa = a * a, bb = b * b;
  /// The other points' distances, multiplied, from 0, a and b.
  static constexpr float at_0 = 1 / (aa * bb), at_a = 1 / (2 * aa * (aa - bb)),
                         at_b = 1 / (2 * bb * (bb - aa));

  static inline __attribute__((always_inline)) void input(const Vector* x, Vector* to) {
    const Vector even_a = x[4] - bb * x[2], odd_a = x[3] - bb * x[1];
    const Vector even_b = x[4] - aa * x[2], odd_b = x[3] - aa * x[1];
    to[0] = aa * bb * x[0] + (x[4] - (aa + bb) * x[2]);
    to[1] = even_a + a * odd_a;
    to[2] = even_a - a * odd_a;
    to[3] = even_b + b * odd_b;
    to[4] = even_b - b * odd_b;
    to[5] = aa * bb * x[1] + (x[5] - (aa + bb) * x[3]);
  }
  static inline __attribute__((always_inline)) void weight(const Vector* w, Vector* to) {
    const Vector even_a = at_a * w[0] + (at_a * aa) * w[2], even_b = at_b * w[0] + (at_b * bb) * w[2];
    to[0] = at_0 * w[0];
    to[1] = even_a + (at_a * a) * w[1];
    to[2] = even_a - (at_a * a) * w[1];
    to[3] = even_b + (at_b * b) * w[1];
    to[4] = even_b - (at_b * b) * w[1];
    to[5] = w[2];
  }
  static inline __attribute__((always_inline)) void output(const Vector* p, Vector* to) {
    const Vector even_a = p[1] + p[2], odd_a = p[1] - p[2], even_b = p[3] + p[4], odd_b = p[3] - p[4];
    to[0] = p[0] + (even_a + even_b);
    to[1] = a * odd_a + b * odd_b;
    to[2] = aa * even_a + bb * even_b;
    to[3] = (aa * a) * odd_a + ((bb * b) * odd_b + p[5]);
  }
  static inline __attribute__((always_inline)) void grad_output(const Vector* y, Vector* to) {
    const Vector even_a = y[0] + aa * y[2], odd_a = a * (y[1] + aa * y[3]);
    const Vector even_b = y[0] + bb * y[2], odd_b = b * (y[1] + bb * y[3]);
    to[0] = y[0];
    to[1] = even_a + odd_a;
    to[2] = even_a - odd_a;
    to[3] = even_b + odd_b;
    to[4] = even_b - odd_b;
    to[5] = y[3];
  }
  static inline __attribute__((always_inline)) void grad_weight(const Vector* p, Vector* to) {
    const Vector even_a = at_a * (p[1] + p[2]), odd_a = at_a * (p[1] - p[2]);
    const Vector even_b = at_b * (p[3] + p[4]), odd_b = at_b * (p[3] - p[4]);
    to[0] = at_0 * p[0] + (even_a + even_b);
    to[1] = a * odd_a + b * odd_b;
    to[2] = aa * even_a + (bb * even_b + p[5]);
  }
};

/// kLine along the rows, then along the columns, of a kFrom x kFrom square: load(y, x) gives an element,
/// store(y, x, value) takes one of the kTo x kTo results.
template <auto kLine, int kFrom, int kTo, class Load, class Store>
inline __attribute__((always_inline)) void both_ways(const Load& load, const Store& store) {
  Vector half[kFrom][kTo];
#pragma GCC unroll 6
  for (int y = 0; y < kFrom; ++y) {
    Vector row[kFrom];
#pragma GCC unroll 6
    for (int x = 0; x < kFrom; ++x) row[x] = load(y, x);
    kLine(row, half[y]);
  }
#pragma GCC unroll 6
  for (int x = 0; x < kTo; ++x) {
    Vector column[kFrom], result[kTo];
#pragma GCC unroll 6
    for (int y = 0; y < kFrom; ++y) column[y] = half[y][x];
    kLine(column, result);
#pragma GCC unroll 6
    for (int y = 0; y < kTo; ++y) store(y, x, result[y]);
  }
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
