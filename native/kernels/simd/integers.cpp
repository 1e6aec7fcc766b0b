// Loops over integers, such as the places of max-pools, that the compiler turns into vectors. Unsigned ones
// wrap around as PyTorch's do.
#include "functions.h"
#include "loops.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

template <class From, class To>
void convert(const From* all, int64_t count, To* results) {
  over(count, [=](int64_t begin, int64_t end) {
    const From* from = all;
    To* __restrict to = results;
    for (int64_t i = begin; i < end; ++i) to[i] = static_cast<To>(from[i]);
  });
}

template <class T>
void combine(const Loop<3>* loops, int64_t depth, const T* a, const T* b, bool subtract, T* to) {
  over_rows(loops, depth, [=](const int64_t* at, int64_t count) {
    const T *left = a + at[1], *right = b + at[2];
    T* out = to + at[0];
    if (subtract) {
      for (int64_t i = 0; i < count; ++i) out[i] = static_cast<T>(left[i] - right[i]);
    } else {
      for (int64_t i = 0; i < count; ++i) out[i] = static_cast<T>(left[i] + right[i]);
    }
  });
}

}  // namespace

void bytes_of_integers(const uint64_t* from, int64_t count, uint8_t* to) { convert(from, count, to); }
void integers_of_bytes(const uint8_t* from, int64_t count, uint64_t* to) { convert(from, count, to); }
void combine_integers(const Loop<3>* loops, int64_t depth, const uint64_t* a, const uint64_t* b,
                      bool subtract, uint64_t* to) {
  combine(loops, depth, a, b, subtract, to);
}
void combine_bytes(const Loop<3>* loops, int64_t depth, const uint8_t* a, const uint8_t* b, bool subtract,
                   uint8_t* to) {
  combine(loops, depth, a, b, subtract, to);
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
