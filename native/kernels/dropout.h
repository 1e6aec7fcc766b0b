#pragma once

#include <cstdint>
#include <vector>

#include "boxed.h"
#include "compute.h"

namespace edgetrain::kernels {

/// What the random operators of a step draw from.
struct Draws {
  uint64_t seed = 0;
  uint64_t step = 0;
  uint32_t call = 0;    ///< random operators of this step so far
  bool enabled = true;  ///< otherwise dropouts keep everything, unscaled
};

/// While it lives, the random operators that this thread calls draw from `draws`. A kernel is a plain
/// function that is given nothing but its operator's arguments.
class DropoutScope {
 public:
  explicit DropoutScope(Draws& draws);
  DropoutScope(const DropoutScope&) = delete;
  ~DropoutScope();

 private:
  Draws* before_;
};

/// The numbers of the next of them.
Draw next_draw();

constexpr char kDropout[] = "aten::native_dropout.out";

/// native_dropout: (input, p, train?) → (out, mask). Masks are a function of (seed, step, order of the
/// random operators in the program), so that a resumed run draws what an uninterrupted one would have drawn;
/// the stock kernel is seeded at random on every call.
std::vector<Kernel> dropout_kernels();

}  // namespace edgetrain::kernels
