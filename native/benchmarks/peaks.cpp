// What this machine reaches at most, to measure the kernels by: peaks THREADS.
// One JSON line: the instruction set ($EDGETRAIN_ISA, or the best), GFLOP/s of multiply-add in registers, and
// GB/s of a triad for each size of its three arrays together.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "../kernels/isa.h"
#include "../kernels/parallel.h"
#include "edgetrain/cpu.h"
#include "edgetrain/runtime_log.h"
#include "edgetrain/stopwatch.h"
#include "simd_peaks.h"

namespace edgetrain::kernels {

namespace baseline {
extern const Peaks kPeaks;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Peaks kPeaks;
}
namespace avx512 {
extern const Peaks kPeaks;
}
#elif defined(__aarch64__)
namespace neon {
extern const Peaks kPeaks;
}
#endif

namespace {

const Peaks& peaks_of(const std::string& isa) {
#if defined(__x86_64__)
  if (isa == "avx2") return avx2::kPeaks;
  if (isa == "avx512") return avx512::kPeaks;
#elif defined(__aarch64__)
  if (isa == "neon") return neon::kPeaks;
#endif
  return baseline::kPeaks;
}

/// task(begin, end) for parts of [0, count), on all threads.
template <class Task>
void on_all_threads(int64_t count, const Task& task) {
  run_parallel(
      count,
      [](const void* context, int64_t begin, int64_t end) {
        (*static_cast<const Task*>(context))(begin, end);
      },
      &task, true);
}

/// The shortest of many runs: other work on the machine only makes them longer.
template <class Run>
double shortest_seconds(const Run& run) {
  double best = 1e9;
  const Stopwatch all;
  for (int i = 0; i < 5 || all.seconds() < 0.5; ++i) {
    const Stopwatch watch;
    run();
    best = std::min(best, watch.seconds());
  }
  return best;
}

double gflops(const Peaks& peaks) {
  constexpr int64_t kParts = 64, kSteps = 2000;
  std::vector<float> results(kParts);
  const double seconds = shortest_seconds([&] {
    on_all_threads(kParts, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) results[static_cast<size_t>(i)] = peaks.multiply_add(kSteps);
    });
  });
  return static_cast<double>(kParts * kSteps * peaks.operations) / seconds / 1e9;
}

double triad_gb_s(const Peaks& peaks, int64_t bytes) {
  constexpr int64_t kPart = 4096;
  const int64_t parts = bytes / 12 / kPart, repeats = std::max<int64_t>(1, (int64_t{32} << 20) / bytes);
  const auto count = static_cast<size_t>(parts * kPart);
  std::vector<float> a(count), b(count, 1.0F), c(count, 2.0F);
  const double seconds = shortest_seconds([&] {
    for (int64_t r = 0; r < repeats; ++r) {
      on_all_threads(parts, [&](int64_t begin, int64_t end) {
        const int64_t first = begin * kPart;
        peaks.triad(a.data() + first, b.data() + first, c.data() + first, (end - begin) * kPart);
      });
    }
  });
  return static_cast<double>(repeats * parts * kPart * 12) / seconds / 1e9;
}

}  // namespace
}  // namespace edgetrain::kernels

int main(int argc, char** argv) {
  namespace kernels = edgetrain::kernels;
  edgetrain::keep_runtime_log(nullptr);
  if (const auto status = edgetrain::use_instruction_set(std::getenv("EDGETRAIN_ISA")); !status.ok()) {
    std::fprintf(stderr, "%s\n", status.failure().message.c_str());
    return static_cast<int>(status.failure().exit);
  }
  if (argc != 2 || !edgetrain::set_threads(static_cast<uint32_t>(std::atoi(argv[1]))).ok()) return 1;
  const auto& peaks = kernels::peaks_of(kernels::isa_name());
  std::printf("{\"isa\": \"%s\", \"gflops\": %.2f, \"triad_gb_s\": {", kernels::isa_name().c_str(),
              kernels::gflops(peaks));
  const int64_t sizes[] = {int64_t{384} << 10, int64_t{12} << 20, int64_t{384} << 20};
  for (const int64_t size : sizes) {
    std::printf("%s\"%lld\": %.2f", size == sizes[0] ? "" : ", ", static_cast<long long>(size),
                kernels::triad_gb_s(peaks, size));
  }
  std::printf("}}\n");
}
