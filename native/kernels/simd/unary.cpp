#include "functions.h"
#include "loops.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

Vector root_of(Vector x) {
  float parts[kWidth];
  store(parts, x);
  for (int i = 0; i < kWidth; ++i) parts[i] = __builtin_sqrtf(parts[i]);
  return load(parts);
}

/// to = f(from) for whole vectors.
template <class Function>
void each(const float* from, int64_t count, float p, float q, float* to) {
  transform_vectors(from, count, to, [=](Vector x) { return Function()(x, p, q); });
}

/// For any number of elements. What fills no vector goes through the same loops, each of which exists once.
void apply(UnaryFunction* each, const float* from, int64_t count, float p, float q, float* to) {
  const int64_t rest = count % kWidth, whole = count - rest;
  if (rest > 0) {
    float part[kWidth];
    store(part, load_some(from + whole, rest));
    each(part, kWidth, p, q, part);
    store_some(to + whole, load(part), rest);
  }
  over(whole, [=](int64_t begin, int64_t end) { each(from + begin, end - begin, p, q, to + begin); });
}

}  // namespace

/// A function by its value for a vector x.
#define EDGETRAIN_UNARY(name, value)                                                                  \
  namespace {                                                                                         \
  struct name##_of {                                                                                  \
    Vector operator()(Vector x, [[maybe_unused]] float p, [[maybe_unused]] float q) { return value; } \
  };                                                                                                  \
  }                                                                                                   \
  void name(const float* from, int64_t count, float p, float q, float* to) {                          \
    apply(each<name##_of>, from, count, p, q, to);                                                    \
  }

EDGETRAIN_UNARY(absolute, absolute(x))
EDGETRAIN_UNARY(clamp, minimum(maximum(x, splat(p)), splat(q)))
EDGETRAIN_UNARY(elu, x > Vector{} ? x * q : exponential_minus_one(x) * p)
EDGETRAIN_UNARY(error_function, error_function(x))
EDGETRAIN_UNARY(exponential, exponential(x))
EDGETRAIN_UNARY(exponential_minus_one, exponential_minus_one(x))
EDGETRAIN_UNARY(gelu, 0.5F * x * (1.0F + error_function(x * 0.70710678F)))
EDGETRAIN_UNARY(gelu_tanh, 0.5F * x * (1.0F + hyperbolic_tangent(0.79788456F * (x + 0.044715F * x * x * x))))
EDGETRAIN_UNARY(hyperbolic_tangent, hyperbolic_tangent(x))
EDGETRAIN_UNARY(leaky_relu, x > Vector{} ? x : x * p)
EDGETRAIN_UNARY(logarithm, logarithm(x))
EDGETRAIN_UNARY(logarithm_of_one_plus, logarithm_of_one_plus(x))
EDGETRAIN_UNARY(negative, -x)
EDGETRAIN_UNARY(reciprocal, 1.0F / x)
EDGETRAIN_UNARY(reciprocal_root, 1.0F / root_of(x))
EDGETRAIN_UNARY(relu, x < Vector{} ? Vector{} : x)  // NaN and -0 stay
EDGETRAIN_UNARY(sigmoid, sigmoid(x))
EDGETRAIN_UNARY(sign, x > Vector{} ? splat(1.0F) : x < Vector{} ? splat(-1.0F) : Vector{})
EDGETRAIN_UNARY(square, (x * x))
EDGETRAIN_UNARY(square_root, root_of(x))

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
