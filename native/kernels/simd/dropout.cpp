#include "functions.h"
#include "vector.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {
namespace {

/// Philox 4x32-10, as philox() of edgetrain/dropout.h, for kLanes counters that follow each other.
constexpr int kLanes = kWidth;
struct Lanes {
  uint32_t v[4][kLanes];
};

inline void philox_round(Lanes& c, uint32_t key0, uint32_t key1) {
  Lanes next;
  for (int l = 0; l < kLanes; ++l) {
    const uint64_t first = uint64_t{0xD2511F53} * c.v[0][l], second = uint64_t{0xCD9E8D57} * c.v[2][l];
    next.v[0][l] = static_cast<uint32_t>(second >> 32) ^ c.v[1][l] ^ key0;
    next.v[1][l] = static_cast<uint32_t>(second);
    next.v[2][l] = static_cast<uint32_t>(first >> 32) ^ c.v[3][l] ^ key1;
    next.v[3][l] = static_cast<uint32_t>(first);
  }
  c = next;
}

}  // namespace

void dropout(const Dropout& d, const float* from, int64_t count, float* to, bool* kept) {
  constexpr int64_t kBlock = 4 * kLanes;
  const auto blocks = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * kBlock; i < min(count, end * kBlock); i += kBlock) {
      Lanes c;
      for (int l = 0; l < kLanes; ++l) {
        c.v[0][l] = static_cast<uint32_t>(i / 4 + l);
        c.v[1][l] = d.call;
        c.v[2][l] = static_cast<uint32_t>(d.step);
        c.v[3][l] = static_cast<uint32_t>(d.step >> 32);
      }
      auto key0 = static_cast<uint32_t>(d.seed), key1 = static_cast<uint32_t>(d.seed >> 32);
      for (int round = 0; round < 10; ++round) {
        philox_round(c, key0, key1);
        key0 += 0x9E3779B9U;
        key1 += 0xBB67AE85U;
      }
      float uniform[kBlock];
      for (int l = 0; l < kLanes; ++l) {
        // 24 bits: the most a float in [0, 1) can tell apart evenly.
        for (int j = 0; j < 4; ++j) {
          uniform[4 * l + j] = static_cast<float>(static_cast<int32_t>(c.v[j][l] >> 8)) * 0x1p-24F;
        }
      }
      for (int64_t j = 0; j < min(kBlock, count - i); ++j) {
        const bool keep = uniform[j] >= d.chance;
        kept[i + j] = keep;
        to[i + j] = keep ? from[i + j] * d.scale : 0.0F;
      }
    }
  };
  parallel(divide_up(count, kBlock), blocks, count >= kDropoutWorthThreads);
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
