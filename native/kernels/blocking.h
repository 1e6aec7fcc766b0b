// Sizes that follow from registers, caches and threads, each with its reason. None is anywhere else.
//
// They assume 32 KiB of first-level and 256 KiB or more of second-level cache per core. Of results, they
// change at most the order of a sum's terms; those that are there for precision say so.
#pragma once

#include <cstdint>

namespace edgetrain::kernels {

// Threads.

/// Elements below which a simple loop ends before threads are awake.
constexpr int64_t kWorthThreads = 32768;
/// The same of loops that do more with each element: two sums of it, an exponential, random numbers.
constexpr int64_t kNormWorthThreads = kWorthThreads / 2, kSoftmaxWorthThreads = kWorthThreads / 4,
                  kDropoutWorthThreads = kWorthThreads / 8;
/// A core that is busy otherwise must not keep all others waiting. Where each task transforms what it reads,
/// fewer of them do less of that twice.
constexpr int64_t kTasksPerThread = 4, kWinogradTasksPerThread = 2;
/// Elements of one task of a simple loop: three operands of so many, 96 KiB, stay in the second-level cache.
constexpr int64_t kTaskElements = 8192;
/// Bytes of a task that only clears memory: eight pages, a first-level cache.
constexpr int64_t kClearBytes = 32 << 10;

// Loops over elements.

/// Rows up to this length cost more in the loop around them than in themselves. 32 is two vectors of AVX-512.
constexpr int64_t kShortRow = 32;
/// Most elements of an operand that is spread out along short rows: 256 KiB, read again for each image.
constexpr int64_t kMostSpread = 1 << 16;
/// Columns that are summed together: two rows of sums, 2 KiB, stay in the first-level cache.
constexpr int64_t kSumColumns = 256;
/// Precision: rows, and vectors of a row, whose sums are added to others. Errors grow with the longest chain.
constexpr int64_t kSumRows = 64, kSumVectors = 128;
/// Columns of a strip of a matrix to transpose: whole cache lines of both, each touched once.
constexpr int64_t kTransposeStrip = 64;

// Matrix products, in the names of BLIS: c [m, n] += a [m, k] b [k, n] in blocks of kMC x kNC with kKC terms.

/// Depth of a packed block: a panel of kKC x kNR is 16 KiB with AVX-512, half of a first-level cache.
constexpr int64_t kKC = 128;
/// Panels of b that are packed together: 64 KiB with AVX-512, in the second-level cache for all rows of a.
constexpr int64_t kPanelsPerBlock = 4;
/// Rows of a task: at least so many for each packing of b, at most so many that a's block is 256 KiB.
constexpr int64_t kLeastMC = 96, kMostMC = 512;
/// Up to so many rows of a or terms, b is not packed: it is read once, so many rows at a time.
constexpr int64_t kStreamTerms = 4;
/// Columns of those that are gone through at once: with c's, 10 KiB of the first-level cache.
constexpr int64_t kStreamColumns = 512;
/// The same where c has but one row: half of the first-level cache.
constexpr int64_t kStreamRow = 4096;
/// Rows of c per task where terms are few.
constexpr int64_t kStreamRows = 16;
/// Up to so many rows of a, dot products along rows of b cost less than to transpose b into panels.
constexpr int64_t kMostDotRows = 16;

// Recurrent layers.

/// Samples that go through all steps together. With AVX-512 their four gates of a panel's units are 16 KiB,
/// half of a first-level cache; a weight beyond the second level is read once per step and so many samples.
constexpr int64_t kRecurrentRows = 32;

// Convolutions.

/// Images with zeros around them, or strips of them, that are made and read before the next ones.
constexpr int64_t kImageBytes = 256 << 10;
/// Packed panels of a weight: more are packed in turns. They are read once per image.
constexpr int64_t kPackedBytes = 1 << 20;
/// Rows (output pixels) of a task: a multiple of every kMR and of the side of a transposed square.
constexpr int64_t kDirectMC = 24;
/// Precision: terms in a row that are summed before they are added to others.
constexpr int64_t kDirectKC = 1024;

/// Fewer input channels leave the vectors of Winograd's transforms mostly empty.
constexpr int64_t kWinogradLeastChannels = 8;
/// Transformed squares of a thread, and transformed kernels: 36 points of 256 channels by one panel of
/// AVX-512.
constexpr int64_t kWinogradTileBytes = 256 << 10, kWinogradKernelBytes = 1152 << 10;
/// Transformed squares of all images, where each thread multiplies all of them by kernels of its own.
constexpr int64_t kWinogradAllTilesBytes = 2 << 20;
/// Squares of a row that are read at once: 34 pixels, more than two cache lines.
constexpr int64_t kWinogradRun = 8;
/// Input channels whose kernels are transposed at once: 9 x 16 x kNR floats, 18 KiB with AVX-512.
constexpr int64_t kWinogradDepths = 16;

/// Most elements of a narrow convolution's kernel: as many cache lines of pixels stay in the first level.
constexpr int64_t kNarrowMostTaps = 128;
/// Rows of results of a task: of an image's window, kernel_height - 1 rows are read twice.
constexpr int64_t kNarrowRows = 8;
/// Of the weight's gradient: most elements, each of which has a vector of sums (256 KiB with AVX-512), and
/// bytes of what they are summed from, a first-level cache.
constexpr int64_t kNarrowMostWeights = 4096, kNarrowStripBytes = 32 << 10;

/// Pixels and results of a strip of a depthwise convolution stay in the second-level cache.
constexpr int64_t kDepthwiseStripBytes = 64 << 10;

/// A weight's gradient is summed in so many parts of the batch, for any number of threads. More, or parts of
/// more than 512 KiB, would cost time on few cores: each is written, read and added.
constexpr int64_t kMostParts = 4, kMostPartWeights = 128 << 10;

}  // namespace edgetrain::kernels

#if defined(EDGETRAIN_ISA)
namespace edgetrain::kernels::EDGETRAIN_ISA {

/// Floats in a vector, and vector registers.
constexpr int kWidth = EDGETRAIN_ISA_WIDTH;
constexpr int kRegisters = EDGETRAIN_ISA_REGISTERS;

/// The micro-tile, whose sums stay in registers: kMR rows by two vectors of columns. 16, 12 or 8 sums, two
/// vectors of b and one element of a (without FMA also their product) are at most 19 of 32 or 15 of 16
/// registers, and no fewer than the 8 sums that two units with a latency of 4 cycles work on at a time.
constexpr int kNR = 2 * kWidth;
constexpr int kMR = kRegisters >= 32 ? 8 : EDGETRAIN_ISA_FMA ? 6 : 4;
/// Columns of a packed block.
constexpr int64_t kNC = kPanelsPerBlock * kNR;
/// The micro-tile of dot products along both operands' rows: its sums, a column of a and one element of b.
constexpr int kDotRows = kRegisters >= 32 ? 4 : 2, kDotColumns = 4;

/// Sums of output channels with taps of a narrow weight's gradient: 24 of 32 or 12 of 16 registers.
constexpr int kNarrowChannels = kRegisters >= 32 ? 4 : 3, kNarrowTaps = kRegisters >= 32 ? 6 : 4;
/// Taps of a depthwise weight's gradient that are summed together where there are not nine.
constexpr int kDepthwiseTaps = 8;
/// Squares of a task: the products of one panel are 72 KiB with AVX-512, in the second-level cache.
constexpr int64_t kWinogradMC = 2 * kMR;

/// The side of squares that convolutions transpose in registers. They seldom have more lines at once.
constexpr int kSquare = kWidth < 8 ? kWidth : 8;

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
#endif
