// Functions of vectors. Their polynomials are minimax fits; each is within a few units in the last place.
#pragma once

#include "vector.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

inline IntVector bits_of(Vector value) { return reinterpret_cast<IntVector>(value); }
inline Vector from_bits(IntVector bits) { return reinterpret_cast<Vector>(bits); }
inline Vector convert(IntVector value) { return __builtin_convertvector(value, Vector); }

inline Vector absolute(Vector x) { return from_bits(bits_of(x) & 0x7fffffff); }
/// With the sign of another number.
inline Vector with_sign(Vector magnitude, Vector sign) {
  return from_bits(bits_of(magnitude) | (bits_of(sign) & static_cast<int32_t>(0x80000000)));
}
/// NaN where a is NaN; b where it is.
inline Vector maximum(Vector a, Vector b) { return (a > b) | (a != a) ? a : b; }
inline Vector minimum(Vector a, Vector b) { return (a < b) | (a != a) ? a : b; }

/// c[0] + c[1] x + c[2] x² ...
template <size_t kCount>
inline Vector polynomial(Vector x, const float (&c)[kCount]) {
  Vector sum = splat(c[kCount - 1]);
  for (size_t i = kCount - 1; i-- > 0;) sum = sum * x + c[i];
  return sum;
}

/// Some elements of a row, and zeros.
inline Vector load_some(const float* from, int64_t count) {
  float parts[kWidth] = {};
  for (int64_t i = 0; i < count; ++i) parts[i] = from[i];
  return load(parts);
}
inline void store_some(float* to, Vector value, int64_t count) {
  float parts[kWidth];
  store(parts, value);
  for (int64_t i = 0; i < count; ++i) to[i] = parts[i];
}

/// e^x = high * low * (1 + tail): 2^n e^r with |r| <= ln(2) / 2. 2^n comes in halves, so that tiny results
/// lose digits and do not vanish.
struct Exponential {
  Vector tail;
  IntVector high, low;  // exponents
};
inline Exponential split_exponential(Vector x) {
  constexpr float kLn2High = 0x1.62e4p-1F, kLn2Low = 0x1.7f7d1cp-20F;
  constexpr float kCoefficients[] = {0.4999999337F, 0.1666651947F, 0.0416684018F, 0.0083688581F,
                                     0.0013814304F};
  constexpr float kRound = 0x1.8p23F;  // added to and taken from a number, it rounds to a whole one
  const Vector bounded = minimum(maximum(x, splat(-105.0F)), splat(90.0F));
  const Vector n = (bounded * 0x1.715476p0F + kRound) - kRound;
  const Vector r = (bounded - n * kLn2High) - n * kLn2Low;
  const Vector tail = polynomial(r, kCoefficients) * (r * r) + r;
  const IntVector whole = __builtin_convertvector(x == x ? n : Vector{}, IntVector);
  const IntVector half = whole >> 1;
  return {tail, half, whole - half};
}
/// 2^n
inline Vector power_of_two(IntVector n) { return from_bits((n + 127) << 23); }

inline Vector exponential(Vector x) {
  const Exponential e = split_exponential(x);
  return (e.tail + 1.0F) * power_of_two(e.high) * power_of_two(e.low);
}

/// e^x - 1, with all digits of it where x is small.
inline Vector exponential_minus_one(Vector x) {
  const Exponential e = split_exponential(x);
  const Vector high = power_of_two(e.high);
  return (e.tail * high + (high - power_of_two(-e.low))) * power_of_two(e.low);
}

/// ln(x) = e ln(2) + ln(m), with m between the square roots of 1/2 and 2.
inline Vector logarithm(Vector x) {
  constexpr float kLn2High = 0x1.62e4p-1F, kLn2Low = 0x1.7f7d1cp-20F;
  constexpr float kCoefficients[] = {0.3333333171F, -0.2500082117F, 0.2000122714F, -0.1662335259F,
                                     0.1420174798F, -0.1316022035F, 0.1276167262F, -0.0763451835F};
  const IntVector tiny = x < 0x1p-126F;
  const Vector normal = tiny ? x * 0x1p23F : x;
  // The bits of sqrt(1/2), below which m is doubled.
  const IntVector shifted = bits_of(absolute(normal)) - 0x3f3504f3;
  const Vector exponent = convert((shifted >> 23) - (tiny & 23));
  const Vector m = from_bits((shifted & 0x007fffff) + 0x3f3504f3);
  const Vector f = m - 1.0F, square = f * f;
  const Vector tail = polynomial(f, kCoefficients) * (f * square) - 0.5F * square;
  const Vector result = ((tail + exponent * kLn2Low) + f) + exponent * kLn2High;
  const Vector infinity = splat(__builtin_inff());
  const Vector special = x == Vector{} ? -infinity : (x == infinity ? x : splat(__builtin_nanf("")));
  return (x > Vector{}) & (x < infinity) ? result : special;
}

/// ln(1 + x), with all digits of it where x is small: the logarithm of what 1 + x is rounded to, and the
/// rest.
inline Vector logarithm_of_one_plus(Vector x) {
  const Vector sum = 1.0F + x, rest = (x - (sum - 1.0F)) / sum;
  const Vector result = logarithm(sum);
  return (sum > Vector{}) & (sum < __builtin_inff()) ? result + rest : result;
}

inline Vector sigmoid(Vector x) {
  const Vector power = exponential(-absolute(x));
  return (x < Vector{} ? power : splat(1.0F)) / (1.0F + power);
}

inline Vector hyperbolic_tangent(Vector x) {
  constexpr float kCoefficients[] = {-0.3333328392F, 0.1333149125F, -0.0537434953F, 0.0206505790F,
                                     -0.0057170366F};
  const Vector magnitude = absolute(x), square = x * x;
  const Vector near = with_sign(polynomial(square, kCoefficients) * (square * magnitude) + magnitude, x);
  const Vector far = with_sign(1.0F - 2.0F / (exponential(2.0F * magnitude) + 1.0F), x);
  return magnitude < 0.625F ? near : far;
}

inline Vector error_function(Vector x) {
  constexpr float kNear[] = {0.1283791657F, -0.3761262582F, 0.1128358515F, -0.0268538119F,
                             0.0051883276F, -0.0008010192F, 0.0000785386F};
  // Of the logarithm of 1 - erf(x), up to where erf(x) rounds to 1.
  constexpr float kFar[] = {0.0001884696F, -1.1295803198F, -0.6332163807F, -0.1084221167F,
                            0.0252103504F, -0.0042052886F, 0.0004414734F,  -0.0000216977F};
  const Vector magnitude = absolute(x);
  const Vector near = polynomial(x * x, kNear) * x + x;
  const Vector bounded = minimum(magnitude, splat(4.0F));
  const Vector far = with_sign(1.0F - exponential(polynomial(bounded, kFar)), x);
  return magnitude < 1.0F ? near : far;
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
