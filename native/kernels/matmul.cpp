#include "matmul.h"

#include <algorithm>

#include "compute.h"

namespace edgetrain::kernels {
namespace {

/// c = a b, all of them dense matrices.
Gemm product(const Tensor& a, const Tensor& b, const Tensor& c) {
  const int64_t m = a.size(a.dim() - 2), k = a.size(a.dim() - 1), n = b.size(b.dim() - 1);
  return {m,
          n,
          k,
          a.const_data_ptr<float>(),
          k,
          1,
          b.const_data_ptr<float>(),
          n,
          1,
          c.mutable_data_ptr<float>(),
          n,
          nullptr,
          1.0F,
          0.0F};
}

/// (self, mat2) → out
struct Mm {
  static constexpr char kName[] = "aten::mm.out";
  static std::optional<Gemm> plan(Stack stack) {
    const auto &a = stack[0]->toTensor(), &b = stack[1]->toTensor(), &out = stack[2]->toTensor();
    if (!are_dense(a, b, out) || a.dim() != 2 || b.dim() != 2 || a.size(1) != b.size(0)) return {};
    if (!resize(out, {a.size(0), b.size(1)})) return {};
    return product(a, b, out);
  }
  static void run(const Gemm& gemm) { compute::gemm(gemm); }
};

/// (self, mat1, mat2, beta, alpha) → out
struct Addmm {
  struct Plan {
    Gemm gemm;
    const float* self;
    int64_t self_row;
    float beta;
  };
  static constexpr char kName[] = "aten::addmm.out";
  static std::optional<Plan> plan(Stack stack) {
    const auto &self = stack[0]->toTensor(), &a = stack[1]->toTensor(), &b = stack[2]->toTensor();
    const auto& out = stack[5]->toTensor();
    if (!are_dense(self, a, b, out) || a.dim() != 2 || b.dim() != 2 || a.size(1) != b.size(0)) return {};
    const int64_t rows = self.dim() == 2 ? self.size(0) : 1;
    const bool fits = (self.dim() == 1 || self.dim() == 2) && self.size(self.dim() - 1) == b.size(1) &&
                      (rows == 1 || rows == a.size(0));
    if (!fits || !resize(out, {a.size(0), b.size(1)})) return {};
    Plan plan = {product(a, b, out), self.const_data_ptr<float>(), rows == 1 ? 0 : b.size(1),
                 static_cast<float>(scalar(*stack[3]))};
    plan.gemm.alpha = static_cast<float>(scalar(*stack[4]));
    return plan;
  }
  static void run(const Plan& plan) {
    Gemm gemm = plan.gemm;
    if (plan.beta == 1 && plan.self_row == 0) {
      gemm.bias = plan.self;
    } else if (plan.beta != 0) {  // with beta 0, NaN in self does not count
      gemm.kept = plan.beta;
      // Where the result is written onto self, as an update onto a weight, it is there already.
      for (int64_t m = 0; m < gemm.m && plan.self != gemm.c; ++m)
        std::copy_n(plan.self + m * plan.self_row, gemm.n, gemm.c + m * gemm.c_row);
    }
    compute::gemm(gemm);
  }
};

/// (self, mat2) → out
struct Bmm {
  struct Plan {
    Gemm first;
    int64_t batch;
  };
  static constexpr char kName[] = "aten::bmm.out";
  static std::optional<Plan> plan(Stack stack) {
    const auto &a = stack[0]->toTensor(), &b = stack[1]->toTensor(), &out = stack[2]->toTensor();
    const bool fits = are_dense(a, b, out) && a.dim() == 3 && b.dim() == 3 && a.size(0) == b.size(0) &&
                      a.size(2) == b.size(1);
    if (!fits) return {};
    if (!resize(out, {a.size(0), a.size(1), b.size(2)})) return {};
    return Plan{product(a, b, out), a.size(0)};
  }
  static void run(const Plan& plan) {
    Gemm gemm = plan.first;
    for (int64_t i = 0; i < plan.batch; ++i) {
      compute::gemm(gemm);
      gemm.a += gemm.m * gemm.k;
      gemm.b += gemm.k * gemm.n;
      gemm.c += gemm.m * gemm.n;
    }
  }
};

/// (input, weight, bias?) → out
struct Linear {
  static constexpr char kName[] = "aten::linear.out";
  static std::optional<Gemm> plan(Stack stack) {
    const auto &input = stack[0]->toTensor(), &weight = stack[1]->toTensor(), &out = stack[3]->toTensor();
    if (!are_dense(input, weight, out) || weight.dim() != 2 || input.dim() < 1) return {};
    const int64_t k = weight.size(1), n = weight.size(0);
    if (input.size(input.dim() - 1) != k) return {};
    const float* bias = nullptr;
    if (!stack[2]->isNone()) {
      const auto& tensor = stack[2]->toTensor();
      if (!is_dense(tensor) || tensor.dim() != 1 || tensor.size(0) != n) return {};
      bias = tensor.const_data_ptr<float>();
    }
    std::vector<int64_t> sizes = sizes_of(input);
    sizes.back() = n;
    if (!resize(out, sizes)) return {};
    int64_t m = 1;
    for (int64_t i = 0; i + 1 < input.dim(); ++i) m *= input.size(i);
    return Gemm{m,
                n,
                k,
                input.const_data_ptr<float>(),
                k,
                1,
                weight.const_data_ptr<float>(),
                1,
                k,
                out.mutable_data_ptr<float>(),
                n,
                bias,
                1.0F,
                0.0F};
  }
  static void run(const Gemm& gemm) { compute::gemm(gemm); }
};

}  // namespace

std::vector<Kernel> matmul_kernels() { return kernels_of<Mm, Addmm, Bmm, Linear>(); }

}  // namespace edgetrain::kernels
