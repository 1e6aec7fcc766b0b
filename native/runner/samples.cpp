#include "samples.h"

#include <algorithm>
#include <cstdio>

#include "edgetrain/platform.h"

namespace edgetrain {
namespace {

constexpr size_t kUsualBatch = 32;

Result<Preprocessing> choose_preprocessing(const Arguments& arguments, const Program& program,
                                           const Dataset& dataset) {
  if (arguments.preprocessed) {
    if (!dataset.has_bytes()) return Preprocessing{};
    return bad_input("bench takes samples that are preprocessed already: inputs of float32 or int64");
  }
  if (program.manifest() && arguments.preprocessing) {
    return bad_usage("the program's manifest knows its preprocessing; leave --scale, --mean and --std out");
  }
  Preprocessing chosen;
  if (program.manifest()) {
    chosen = program.manifest()->preprocessing;
  } else if (arguments.preprocessing) {
    chosen = *arguments.preprocessing;
  } else if (dataset.manifest()) {
    chosen = dataset.manifest()->preprocessing;
  }
  const auto& shape = dataset.sample_shape();
  const size_t channels = chosen.mean.size();
  if (channels > 1 && (shape.empty() || static_cast<size_t>(shape[0]) != channels)) {
    return bad_usage("mean and std are given for " + std::to_string(channels) +
                     " channels, the samples have other ones");
  }
  return chosen;
}

/// Targets are numbers of classes: where both sides name these, the names must agree.
Status check_classes(const std::string& path, const Program& program, const Dataset& dataset) {
  if (!program.manifest() || !dataset.manifest()) return {};
  const auto &wanted = program.manifest()->classes, &found = dataset.manifest()->classes;
  if (wanted.empty() || found.empty() || wanted == found) return {};
  const std::string start = path + " has other classes than the program: ";
  if (wanted.size() != found.size()) {
    return bad_input(start + std::to_string(found.size()) + " of them, not " + std::to_string(wanted.size()));
  }
  const size_t index =
      static_cast<size_t>(std::mismatch(wanted.begin(), wanted.end(), found.begin()).first - wanted.begin());
  return bad_input(start + "class " + std::to_string(index) + " is " + found[index] + ", not " +
                   wanted[index]);
}

}  // namespace

Result<std::unique_ptr<Program>> open_program(const Arguments& arguments) {
  EDGETRAIN_TAKE(ProgramFiles files, ProgramFiles::open(arguments.program, arguments.weights));
  if (arguments.threads) EDGETRAIN_CHECK(set_threads(static_cast<uint32_t>(*arguments.threads)));
  std::unique_ptr<Profiler> profiler;
  if (!arguments.profile.empty()) {
    const bool training = arguments.command == "train" || arguments.command == "bench";
    EDGETRAIN_TAKE(profiler, Profiler::make(arguments.profile_batches, training));
  }
  return Program::load(std::move(files), std::move(profiler));
}

Result<size_t> choose_batch_size(const Arguments& arguments, const Program& program) {
  const size_t most = program.max_batch_size();
  if (program.fixed_batch_size()) {
    if (arguments.batch_size && *arguments.batch_size != most) {
      return bad_usage("the program takes batches of " + std::to_string(most) + " samples only");
    }
    return most;
  }
  if (arguments.batch_size && *arguments.batch_size > most) {
    return bad_usage("the program takes batches of up to " + std::to_string(most) + ", not " +
                     std::to_string(*arguments.batch_size) + "; use --batch-size " + std::to_string(most) +
                     " or export it for larger ones");
  }
  return arguments.batch_size ? static_cast<size_t>(*arguments.batch_size) : std::min(kUsualBatch, most);
}

Result<Samples> open_samples(const Arguments& arguments, const Program& program,
                             const std::vector<std::string>& paths, size_t batch_size, bool shuffle) {
  EDGETRAIN_TAKE(Dataset opened, Dataset::open(paths));
  Samples samples{std::make_unique<Dataset>(std::move(opened)), nullptr};
  EDGETRAIN_CHECK(samples.dataset->check_fits(program, program.classes()));
  EDGETRAIN_CHECK(check_classes(paths[0], program, *samples.dataset));
  EDGETRAIN_TAKE(auto preprocessing, choose_preprocessing(arguments, program, *samples.dataset));
  const bool fixed = program.fixed_batch_size();
  if (fixed && samples.dataset->size() % batch_size != 0) {
    std::fprintf(
        stderr,
        "note: the program takes whole batches of %zu only; the last %zu samples of %s are left out\n",
        batch_size, samples.dataset->size() % batch_size, paths[0].c_str());
  }
  samples.loader = std::make_unique<BatchLoader>(*samples.dataset, program, std::move(preprocessing),
                                                 batch_size, shuffle, arguments.train.seed, fixed);
  if (samples.loader->count() == 0) return bad_input(paths[0] + " has fewer samples than one batch");
  return samples;
}

}  // namespace edgetrain
