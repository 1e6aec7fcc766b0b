#include "recurrent.h"

#include <algorithm>
#include <initializer_list>

#include "compute.h"

namespace edgetrain::kernels {
namespace {

/// A call's arguments as what they have to be; `fits` turns false where one is something else. No other
/// kernel takes what these don't.
class Arguments {
 public:
  Arguments(Stack stack, size_t count) : stack_(stack), fits_(stack.size() >= count) {}

  bool fits() const { return fits_; }
  /// Sizes are those of one tensor [steps, batch, ...] and one [..., size].
  Recurrence recurrence(size_t steps_and_batch, size_t size, size_t reverse) {
    if (!is_tensor(steps_and_batch, 3) || !is_tensor(size, 2) || !stack_[reverse]->isBool()) return none();
    const auto& first = stack_[steps_and_batch]->toTensor();
    const Recurrence r = {first.size(0), first.size(1), stack_[size]->toTensor().size(1),
                          stack_[reverse]->toBool()};
    return r.steps > 0 && r.size > 0 ? r : none();
  }
  bool flag(size_t index) {
    fits_ = fits_ && stack_[index]->isBool();
    return fits_ && stack_[index]->toBool();
  }
  const float* input(size_t index, std::initializer_list<int64_t> sizes) {
    if (!is_tensor(index, sizes.size())) return nullptr;
    const auto& tensor = stack_[index]->toTensor();
    fits_ = std::equal(sizes.begin(), sizes.end(), tensor.sizes().begin());
    return fits_ ? tensor.const_data_ptr<float>() : nullptr;
  }
  const float* input_or_none(size_t index, std::initializer_list<int64_t> sizes) {
    return fits_ && stack_[index]->isNone() ? nullptr : input(index, sizes);
  }
  float* output(size_t index, std::initializer_list<int64_t> sizes) {
    if (!is_tensor(index, sizes.size())) return nullptr;
    const auto& tensor = stack_[index]->toTensor();
    fits_ = resize(tensor, sizes);
    return fits_ ? tensor.mutable_data_ptr<float>() : nullptr;
  }

 private:
  Recurrence none() {
    fits_ = false;
    return {};
  }
  bool is_tensor(size_t index, size_t dims) {
    fits_ = fits_ && stack_[index]->isTensor() && is_dense(stack_[index]->toTensor()) &&
            stack_[index]->toTensor().dim() == static_cast<ssize_t>(dims);
    return fits_;
  }

  Stack stack_;
  bool fits_;
};

template <class Layer>
struct PlanOf {
  Recurrence r;
  Layer layer;
};
template <class Layer>
std::optional<PlanOf<Layer>> plan_of(const Arguments& given, const Recurrence& r, const Layer& layer) {
  if (!given.fits()) return {};
  return PlanOf<Layer>{r, layer};
}

/// (given, hidden, cell, recurrent, reverse) → (outputs, gates, cells)
struct LstmOperator {
  static constexpr char kName[] = "edgetrain::lstm.out";
  static std::optional<PlanOf<Lstm>> plan(Stack stack) {
    Arguments of(stack, 8);
    const Recurrence r = of.recurrence(0, 1, 4);
    const auto [steps, batch, size, reverse] = r;
    return plan_of(
        of, r,
        Lstm{of.input(0, {steps, batch, 4 * size}), of.input(1, {batch, size}), of.input(2, {batch, size}),
             of.input(3, {4 * size, size}), of.output(5, {steps, batch, size}),
             of.output(6, {steps, batch, 4 * size}), of.output(7, {steps, batch, size})});
  }
  static void run(const PlanOf<Lstm>& plan) { compute::lstm(plan.r, plan.layer); }
};

/// (grad_outputs, grad_cells?, gates, cells, cell, recurrent, reverse) → (grad_given, grad_hidden, grad_cell)
struct LstmBackwardOperator {
  static constexpr char kName[] = "edgetrain::lstm_backward.out";
  static std::optional<PlanOf<LstmBackward>> plan(Stack stack) {
    Arguments of(stack, 10);
    const Recurrence r = of.recurrence(0, 4, 6);
    const auto [steps, batch, size, reverse] = r;
    return plan_of(of, r,
                   LstmBackward{of.input(0, {steps, batch, size}), of.input_or_none(1, {steps, batch, size}),
                                of.input(2, {steps, batch, 4 * size}), of.input(3, {steps, batch, size}),
                                of.input(4, {batch, size}), of.input(5, {4 * size, size}),
                                of.output(7, {steps, batch, 4 * size}), of.output(8, {batch, size}),
                                of.output(9, {batch, size})});
  }
  static void run(const PlanOf<LstmBackward>& plan) { compute::lstm_backward(plan.r, plan.layer); }
};

/// (given, hidden, recurrent, bias?, reverse) → (outputs, gates)
struct GruOperator {
  static constexpr char kName[] = "edgetrain::gru.out";
  static std::optional<PlanOf<Gru>> plan(Stack stack) {
    Arguments of(stack, 7);
    const Recurrence r = of.recurrence(0, 1, 4);
    const auto [steps, batch, size, reverse] = r;
    return plan_of(of, r,
                   Gru{of.input(0, {steps, batch, 3 * size}), of.input(1, {batch, size}),
                       of.input(2, {3 * size, size}), of.input_or_none(3, {3 * size}),
                       of.output(5, {steps, batch, size}), of.output(6, {steps, batch, 4 * size})});
  }
  static void run(const PlanOf<Gru>& plan) { compute::gru(plan.r, plan.layer); }
};

/// (grad_outputs, outputs, gates, hidden, recurrent, reverse) → (grad_given, grad_product, grad_hidden)
struct GruBackwardOperator {
  static constexpr char kName[] = "edgetrain::gru_backward.out";
  static std::optional<PlanOf<GruBackward>> plan(Stack stack) {
    Arguments of(stack, 9);
    const Recurrence r = of.recurrence(0, 3, 5);
    const auto [steps, batch, size, reverse] = r;
    return plan_of(of, r,
                   GruBackward{of.input(0, {steps, batch, size}), of.input(1, {steps, batch, size}),
                               of.input(2, {steps, batch, 4 * size}), of.input(3, {batch, size}),
                               of.input(4, {3 * size, size}), of.output(6, {steps, batch, 3 * size}),
                               of.output(7, {steps, batch, 3 * size}), of.output(8, {batch, size})});
  }
  static void run(const PlanOf<GruBackward>& plan) { compute::gru_backward(plan.r, plan.layer); }
};

/// (given, hidden, recurrent, relu, reverse) → outputs
struct RnnOperator {
  static constexpr char kName[] = "edgetrain::rnn.out";
  static std::optional<PlanOf<Rnn>> plan(Stack stack) {
    Arguments of(stack, 6);
    const Recurrence r = of.recurrence(0, 1, 4);
    const auto [steps, batch, size, reverse] = r;
    return plan_of(of, r,
                   Rnn{of.flag(3), of.input(0, {steps, batch, size}), of.input(1, {batch, size}),
                       of.input(2, {size, size}), of.output(5, {steps, batch, size})});
  }
  static void run(const PlanOf<Rnn>& plan) { compute::rnn(plan.r, plan.layer); }
};

/// (grad_outputs, outputs, recurrent, relu, reverse) → (grad_given, grad_hidden)
struct RnnBackwardOperator {
  static constexpr char kName[] = "edgetrain::rnn_backward.out";
  static std::optional<PlanOf<RnnBackward>> plan(Stack stack) {
    Arguments of(stack, 7);
    const Recurrence r = of.recurrence(0, 2, 4);
    const auto [steps, batch, size, reverse] = r;
    return plan_of(of, r,
                   RnnBackward{of.flag(3), of.input(0, {steps, batch, size}),
                               of.input(1, {steps, batch, size}), of.input(2, {size, size}),
                               of.output(5, {steps, batch, size}), of.output(6, {batch, size})});
  }
  static void run(const PlanOf<RnnBackward>& plan) { compute::rnn_backward(plan.r, plan.layer); }
};

}  // namespace

std::vector<Kernel> recurrent_kernels() {
  return kernels_of<LstmOperator, LstmBackwardOperator, GruOperator, GruBackwardOperator, RnnOperator,
                    RnnBackwardOperator>();
}

}  // namespace edgetrain::kernels
