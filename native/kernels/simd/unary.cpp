#include "functions.h"
#include "loops.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

Vector square_root(Vector x) {
  float parts[kWidth];
  store(parts, x);
  for (int i = 0; i < kWidth; ++i) parts[i] = __builtin_sqrtf(parts[i]);
  return load(parts);
}

Vector gelu(Vector x) { return 0.5F * x * (1.0F + error_function(x * 0.70710678F)); }
Vector gelu_tanh(Vector x) {
  return 0.5F * x * (1.0F + hyperbolic_tangent(0.79788456F * (x + 0.044715F * x * x * x)));
}

}  // namespace

void unary(Unary operation, const float* from, int64_t count, float p, float q, float* to) {
  const int64_t rest = count % kWidth, whole = count - rest;
  // What fills no vector goes through the same loops, each of which exists once.
  if (rest > 0) {
    float part[kWidth];
    store(part, load_some(from + whole, rest));
    unary(operation, part, kWidth, p, q, part);
    store_some(to + whole, load(part), rest);
  }
  const auto apply = [=](const auto& f) {
    over(whole,
         [&](int64_t begin, int64_t end) { transform_vectors(from + begin, end - begin, to + begin, f); });
  };
  switch (operation) {
    case Unary::kAbsolute:
      return apply([](Vector x) { return absolute(x); });
    case Unary::kClamp:
      return apply([=](Vector x) { return minimum(maximum(x, splat(p)), splat(q)); });
    case Unary::kErf:
      return apply([](Vector x) { return error_function(x); });
    case Unary::kExp:
      return apply([](Vector x) { return exponential(x); });
    case Unary::kGelu:
      return apply([](Vector x) { return gelu(x); });
    case Unary::kGeluTanh:
      return apply([](Vector x) { return gelu_tanh(x); });
    case Unary::kLeakyRelu:
      return apply([=](Vector x) { return x > Vector{} ? x : x * p; });
    case Unary::kLog:
      return apply([](Vector x) { return logarithm(x); });
    case Unary::kNegative:
      return apply([](Vector x) { return -x; });
    case Unary::kReciprocal:
      return apply([](Vector x) { return 1.0F / x; });
    case Unary::kRelu:
      return apply([](Vector x) { return x < Vector{} ? Vector{} : x; });  // NaN and -0 stay
    case Unary::kRsqrt:
      return apply([](Vector x) { return 1.0F / square_root(x); });
    case Unary::kSigmoid:
      return apply([](Vector x) { return sigmoid(x); });
    case Unary::kSqrt:
      return apply([](Vector x) { return square_root(x); });
    case Unary::kSquare:
      return apply([](Vector x) { return x * x; });
    case Unary::kTanh:
      return apply([](Vector x) { return hyperbolic_tangent(x); });
  }
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
