// Counter-based random numbers.
#pragma once

#include "../compute.h"
#include "vector.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

/// Philox 4x32-10 (Salmon et al. 2011) for kLanes counters that follow each other.
constexpr int kLanes = kWidth;
/// Numbers that a block of counters gives.
constexpr int64_t kDrawn = 4 * kLanes;
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

/// The numbers of elements i .. i + kDrawn - 1 of a draw, evenly from [0, 1). Four elements share a counter,
/// which is i / 4.
inline void draw_block(const Draw& draw, int64_t i, float* uniform) {
  Lanes c;
  for (int l = 0; l < kLanes; ++l) {
    c.v[0][l] = static_cast<uint32_t>(i / 4 + l);
    c.v[1][l] = draw.call;
    c.v[2][l] = static_cast<uint32_t>(draw.step);
    c.v[3][l] = static_cast<uint32_t>(draw.step >> 32);
  }
  auto key0 = static_cast<uint32_t>(draw.seed), key1 = static_cast<uint32_t>(draw.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    philox_round(c, key0, key1);
    key0 += 0x9E3779B9U;
    key1 += 0xBB67AE85U;
  }
  for (int l = 0; l < kLanes; ++l) {
    // 24 bits: the most a float in [0, 1) can tell apart evenly.
    for (int j = 0; j < 4; ++j) {
      uniform[4 * l + j] = static_cast<float>(static_cast<int32_t>(c.v[j][l] >> 8)) * 0x1p-24F;
    }
  }
}

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
