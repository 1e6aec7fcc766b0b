// Recurrent layers. Samples don't depend on each other, so that a thread takes some of them through all
// steps.
#include "functions.h"
#include "math.h"
#include "micro_kernel.h"
#include "padding.h"
#include "transpose.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

/// Gates of a panel's units lie so far apart.
constexpr int64_t kGateStep = kRecurrentRows * kNR, kMostGates = 4;

// What is called at many places exists once.
#define EDGETRAIN_ONCE __attribute__((noinline))
EDGETRAIN_ONCE Vector read_some(const float* from, int64_t count) { return load_some(from, count); }
EDGETRAIN_ONCE void write_some(float* to, Vector value, int64_t count) { store_some(to, value, count); }
EDGETRAIN_ONCE Vector sigmoid_of(Vector x) { return sigmoid(x); }
EDGETRAIN_ONCE Vector tanh_of(Vector x) { return hyperbolic_tangent(x); }
#undef EDGETRAIN_ONCE

/// Up to a vector of elements.
inline Vector read(const float* from, int64_t count) {
  return __builtin_expect(count >= kWidth, 1) ? load(from) : read_some(from, count);
}
inline void write(float* to, Vector value, int64_t count) {
  __builtin_expect(count >= kWidth, 1) ? store(to, value) : write_some(to, value, count);
}

/// Some units of a sample at a step.
struct Place {
  int64_t now, before;  // rows of [steps * batch, ...]; before is negative at the first step
  int64_t sample;
  int64_t unit, count, size;

  /// Of [steps, batch, gates, size].
  int64_t at(int64_t gates = 1, int64_t gate = 0) const { return (now * gates + gate) * size + unit; }
  /// Of [batch, size].
  int64_t state() const { return sample * size + unit; }
  /// A state of the step before: one at first, or of all steps.
  Vector state_before(const float* first, const float* all) const {
    return read(before < 0 ? first + state() : all + before * size + unit, count);
  }
};

/// Rows times a panel, and what columns start with. Precision: not too many terms in a row.
void multiply_panel(const float* const* rows, int64_t count, int64_t columns, int64_t depth,
                    const float* panel, const float* start, float* sums) {
  multiply({rows, count, columns, min(depth, kDirectKC), panel, kNR, sums, kNR, start}, Steps{1});
  for (int64_t k = kDirectKC; k < depth; k += kDirectKC) {
    alignas(64) float more[kGateStep];
    const float* rest[kRecurrentRows];
    for (int64_t i = 0; i < count; ++i) rest[i] = rows[i] + k;
    multiply({rest, count, columns, min(depth - k, kDirectKC), panel + k * kNR, kNR, more, kNR}, Steps{1});
    for (int64_t i = 0; i < count * kNR; i += kWidth) store(sums + i, load(sums + i) + load(more + i));
  }
}

/// f(first, last) for ranges of samples, each on one thread.
template <class Function>
void over_samples(const Recurrence& r, int64_t gates, const Function& f) {
  const bool pays = r.steps * r.batch * gates * r.size >= kSoftmaxWorthThreads;
  const int64_t threads = pays ? thread_count() : 1;
  const int64_t rows = min(kRecurrentRows, max<int64_t>(1, divide_up(r.batch, threads)));
  parallel(
      divide_up(r.batch, rows),
      [&](int64_t begin, int64_t end) {
        for (int64_t part = begin; part < end; ++part) f(part * rows, min(r.batch, (part + 1) * rows));
      },
      pays);
}

/// f(place) for vectors of the units of a panel.
template <class Function>
inline void over_units(Place place, int64_t first, const Function& f) {
  const int64_t end = min(place.size, first + kNR);
  for (place.unit = first; place.unit < end; place.unit += kWidth) {
    place.count = end - place.unit;
    f(place);
  }
}

inline Place place_of(const Recurrence& r, int64_t step, int64_t sample) {
  const int64_t now = r.reverse ? r.steps - 1 - step : step, before = r.reverse ? now + 1 : now - 1;
  return {now * r.batch + sample, step == 0 ? -1 : before * r.batch + sample, sample, 0, 0, r.size};
}

/// [panels][gates] of [size, kNR], each after kNR starts of its columns: the weight of each gate, transposed.
void pack_gates(const float* weight, const float* bias, int64_t gates, int64_t size, float* packed) {
  const int64_t step = (size + 1) * kNR;
  parallel(
      divide_up(size, kNR) * gates,
      [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          float* panel = packed + i * step;
          const int64_t unit = i / gates * kNR, first = i % gates * size + unit,
                        count = min<int64_t>(kNR, size - unit);
          __builtin_memset(panel, 0, static_cast<size_t>(count < kNR ? step : kNR) * sizeof(float));
          for (int64_t n = 0; bias != nullptr && n < count; ++n) panel[n] = bias[first + n];
          transpose(weight + first * size, size, panel + kNR, kNR, count, size);
        }
      },
      gates * size * size >= kWorthThreads);
}

/// [panels] of [gates * size, kNR]: the weight's columns.
void pack_columns(const float* weight, int64_t gates, int64_t size, float* packed) {
  const int64_t depth = gates * size;
  parallel(
      divide_up(size, kNR),
      [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) {
          const int64_t count = min<int64_t>(kNR, size - i * kNR);
          for (int64_t k = 0; k < depth; ++k) {
            const float* from = weight + k * size + i * kNR;
            float* to = packed + (i * depth + k) * kNR;
            for (int64_t j = 0; j < kNR; j += kWidth)
              store(to + j, count > j ? read(from + j, count - j) : Vector{});
          }
        }
      },
      depth * size >= kWorthThreads);
}

/// A layer as the loops over steps and samples see it; they exist once for all kinds.
struct Forward {
  int64_t gates;
  const float *hidden, *recurrent, *bias, *outputs;
  const void* layer;
  /// What a step makes of sums for the units of a panel, the first of which is `first`.
  void (*step)(const void* layer, const Place& place, int64_t first, const float* sums);
};
struct Backward {
  int64_t gates;
  const float *recurrent, *product;  // the weight, and the gradients that it is multiplied with
  float *grad_hidden, *grad_cell;    // the second may be null
  const void* layer;
  /// What a step makes of the gradient of the state, which lies in grad_hidden and where it leaves what
  /// doesn't go through the product.
  void (*step)(const void* layer, const Place& place, int64_t first);
};

void set_zero(float* to, int64_t count) {
  __builtin_memset(to, 0, static_cast<size_t>(count) * sizeof(float));
}

/// All steps: for each, the products of the states before with all gates' weights, and what the layer makes
/// of them.
void run(const Recurrence& r, const Forward& f) {
  const int64_t panels = divide_up(r.size, kNR), panel_step = (r.size + 1) * kNR;
  auto* packed = scratch_of<float>(Scratch::kPacked, panels * f.gates * panel_step);
  pack_gates(f.recurrent, f.bias, f.gates, r.size, packed);
  over_samples(r, f.gates, [&](int64_t first, int64_t last) {
    alignas(64) float sums[kMostGates * kGateStep];
    const float* rows[kRecurrentRows];
    for (int64_t step = 0; step < r.steps; ++step) {
      for (int64_t b = first; b < last; ++b) {
        const int64_t before = place_of(r, step, b).before;
        rows[b - first] = before < 0 ? f.hidden + b * r.size : f.outputs + before * r.size;
      }
      for (int64_t p = 0; p < panels; ++p) {
        const int64_t columns = min<int64_t>(kNR, r.size - p * kNR);
        for (int64_t gate = 0; gate < f.gates; ++gate) {
          const float* panel = packed + (p * f.gates + gate) * panel_step;
          multiply_panel(rows, last - first, columns, r.size, panel + kNR, panel, sums + gate * kGateStep);
        }
        for (int64_t b = first; b < last; ++b)
          f.step(f.layer, place_of(r, step, b), p * kNR, sums + (b - first) * kNR);
      }
    }
  });
}

/// All steps backwards: what the layer makes of the gradient of the state, and then the product.
void run(const Recurrence& r, const Backward& f) {
  const int64_t panels = divide_up(r.size, kNR), depth = f.gates * r.size;
  auto* packed = scratch_of<float>(Scratch::kPacked, panels * depth * kNR);
  pack_columns(f.recurrent, f.gates, r.size, packed);
  over_samples(r, f.gates, [&](int64_t first, int64_t last) {
    alignas(64) float sums[kGateStep];
    const float* rows[kRecurrentRows];
    set_zero(f.grad_hidden + first * r.size, (last - first) * r.size);
    if (f.grad_cell != nullptr) set_zero(f.grad_cell + first * r.size, (last - first) * r.size);
    for (int64_t step = r.steps; step-- > 0;) {
      for (int64_t b = first; b < last; ++b) {
        const Place place = place_of(r, step, b);
        for (int64_t unit = 0; unit < r.size; unit += kNR) f.step(f.layer, place, unit);
        rows[b - first] = f.product + place.now * depth;
      }
      for (int64_t p = 0; p < panels; ++p) {
        const int64_t columns = min<int64_t>(kNR, r.size - p * kNR);
        multiply_panel(rows, last - first, columns, depth, packed + p * depth * kNR, nullptr, sums);
        for (int64_t b = first; b < last; ++b) {
          const float* row = sums + (b - first) * kNR;
          over_units(place_of(r, step, b), p * kNR, [&](const Place& at) {
            float* to = f.grad_hidden + at.state();
            write(to, read(to, at.count) + load(row + (at.unit - p * kNR)), at.count);
          });
        }
      }
    }
  });
}

template <class Layer>
void step_forward(const void* layer, const Place& place, int64_t first, const float* sums) {
  over_units(place, first,
             [&](const Place& at) { static_cast<const Layer*>(layer)->step(at, sums + (at.unit - first)); });
}
template <class Layer>
void step_backward(const void* layer, const Place& place, int64_t first) {
  over_units(place, first, [&](const Place& at) { static_cast<const Layer*>(layer)->step(at); });
}

struct LstmLayer : Lstm {
  static constexpr int64_t kGates = 4;
  void step(const Place& p, const float* sums) const {
    const auto gate = [&](int64_t g) {
      return read(given + p.at(kGates, g), p.count) + load(sums + g * kGateStep);
    };
    const Vector enter = sigmoid_of(gate(0)), keep = sigmoid_of(gate(1)), fresh = tanh_of(gate(2)),
                 out = sigmoid_of(gate(3));
    const Vector inside = keep * p.state_before(cell, cells) + enter * fresh;
    write(gates + p.at(kGates, 0), enter, p.count);
    write(gates + p.at(kGates, 1), keep, p.count);
    write(gates + p.at(kGates, 2), fresh, p.count);
    write(gates + p.at(kGates, 3), out, p.count);
    write(cells + p.at(), inside, p.count);
    write(outputs + p.at(), out * tanh_of(inside), p.count);
  }
};

struct LstmBackwardLayer : LstmBackward {
  static constexpr int64_t kGates = 4;
  void step(const Place& p) const {
    const auto gate = [&](int64_t g) { return read(gates + p.at(kGates, g), p.count); };
    const Vector enter = gate(0), keep = gate(1), fresh = gate(2), out = gate(3);
    const Vector shown = tanh_of(read(cells + p.at(), p.count));
    const Vector grad = read(grad_outputs + p.at(), p.count) + read(grad_hidden + p.state(), p.count);
    Vector inside = read(grad_cell + p.state(), p.count) + grad * out * (1.0F - shown * shown);
    if (grad_cells != nullptr) inside += read(grad_cells + p.at(), p.count);
    const Vector of[kGates] = {inside * fresh * enter * (1.0F - enter),
                               inside * p.state_before(cell, cells) * keep * (1.0F - keep),
                               inside * enter * (1.0F - fresh * fresh), grad * shown * out * (1.0F - out)};
    for (int64_t g = 0; g < kGates; ++g) write(grad_given + p.at(kGates, g), of[g], p.count);
    write(grad_hidden + p.state(), Vector{}, p.count);
    write(grad_cell + p.state(), inside * keep, p.count);
  }
};

struct GruLayer : Gru {
  static constexpr int64_t kGates = 3;
  void step(const Place& p, const float* sums) const {
    const auto from_inputs = [&](int64_t g) { return read(given + p.at(kGates, g), p.count); };
    const auto from_state = [&](int64_t g) { return load(sums + g * kGateStep); };
    const Vector reset = sigmoid_of(from_inputs(0) + from_state(0)),
                 keep = sigmoid_of(from_inputs(1) + from_state(1)), old = from_state(2),
                 fresh = tanh_of(from_inputs(2) + reset * old);
    write(gates + p.at(kGates + 1, 0), reset, p.count);
    write(gates + p.at(kGates + 1, 1), keep, p.count);
    write(gates + p.at(kGates + 1, 2), fresh, p.count);
    write(gates + p.at(kGates + 1, 3), old, p.count);
    write(outputs + p.at(), fresh + keep * (p.state_before(hidden, outputs) - fresh), p.count);
  }
};

struct GruBackwardLayer : GruBackward {
  static constexpr int64_t kGates = 3;
  void step(const Place& p) const {
    const auto gate = [&](int64_t g) { return read(gates + p.at(kGates + 1, g), p.count); };
    const Vector reset = gate(0), keep = gate(1), fresh = gate(2), old = gate(3);
    const Vector grad = read(grad_outputs + p.at(), p.count) + read(grad_hidden + p.state(), p.count);
    const Vector of_fresh = grad * (1.0F - keep) * (1.0F - fresh * fresh);
    const Vector of_keep = grad * (p.state_before(hidden, outputs) - fresh) * keep * (1.0F - keep);
    const Vector of_reset = of_fresh * old * reset * (1.0F - reset);
    write(grad_given + p.at(kGates, 0), of_reset, p.count);
    write(grad_given + p.at(kGates, 1), of_keep, p.count);
    write(grad_given + p.at(kGates, 2), of_fresh, p.count);
    write(grad_product + p.at(kGates, 0), of_reset, p.count);
    write(grad_product + p.at(kGates, 1), of_keep, p.count);
    write(grad_product + p.at(kGates, 2), of_fresh * reset, p.count);
    write(grad_hidden + p.state(), grad * keep, p.count);
  }
};

struct RnnLayer : Rnn {
  static constexpr int64_t kGates = 1;
  void step(const Place& p, const float* sums) const {
    const Vector x = read(given + p.at(), p.count) + load(sums);
    const Vector y = relu ? (x < Vector{} ? Vector{} : x) : tanh_of(x);
    write(outputs + p.at(), y, p.count);
  }
};

struct RnnBackwardLayer : RnnBackward {
  static constexpr int64_t kGates = 1;
  void step(const Place& p) const {
    const Vector y = read(outputs + p.at(), p.count);
    const Vector grad = read(grad_outputs + p.at(), p.count) + read(grad_hidden + p.state(), p.count);
    const Vector of_sum = relu ? (y <= Vector{} ? Vector{} : grad) : grad * (1.0F - y * y);
    write(grad_given + p.at(), of_sum, p.count);
    write(grad_hidden + p.state(), Vector{}, p.count);
  }
};

}  // namespace

void lstm(const Recurrence& r, const Lstm& l) {
  const LstmLayer layer{l};
  run(r, Forward{4, l.hidden, l.recurrent, nullptr, l.outputs, &layer, step_forward<LstmLayer>});
}
void lstm_backward(const Recurrence& r, const LstmBackward& l) {
  const LstmBackwardLayer layer{l};
  run(r, Backward{4, l.recurrent, l.grad_given, l.grad_hidden, l.grad_cell, &layer,
                  step_backward<LstmBackwardLayer>});
}
void gru(const Recurrence& r, const Gru& l) {
  const GruLayer layer{l};
  run(r, Forward{3, l.hidden, l.recurrent, l.bias, l.outputs, &layer, step_forward<GruLayer>});
}
void gru_backward(const Recurrence& r, const GruBackward& l) {
  const GruBackwardLayer layer{l};
  run(r, Backward{3, l.recurrent, l.grad_product, l.grad_hidden, nullptr, &layer,
                  step_backward<GruBackwardLayer>});
}
void rnn(const Recurrence& r, const Rnn& l) {
  const RnnLayer layer{l};
  run(r, Forward{1, l.hidden, l.recurrent, nullptr, l.outputs, &layer, step_forward<RnnLayer>});
}
void rnn_backward(const Recurrence& r, const RnnBackward& l) {
  const RnnBackwardLayer layer{l};
  run(r, Backward{1, l.recurrent, l.grad_given, l.grad_hidden, nullptr, &layer,
                  step_backward<RnnBackwardLayer>});
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
