#include "edgetrain/samples.h"

#include <algorithm>

namespace edgetrain {
namespace {

constexpr size_t kUsualBatch = 32;

/// Of the inputs that are numbers.
Result<PreprocessingByInput> choose_preprocessing(const Program& program, const Dataset& dataset,
                                                  const SampleSettings& settings) {
  const Manifest* manifest = program.manifest();
  if (manifest && !settings.preprocessing.empty()) {
    return bad_usage("the program's manifest knows its preprocessing; leave --scale, --mean and --std out");
  }
  const auto& known = manifest                          ? manifest->preprocessing
                      : !settings.preprocessing.empty() ? settings.preprocessing
                      : dataset.manifest()              ? dataset.manifest()->preprocessing
                                                        : settings.preprocessing;
  PreprocessingByInput chosen;
  for (const Argument* input : program.contract().inputs()) {
    const Column& column = *dataset.find(input->name);
    if (settings.preprocessed) {
      if (column.dtype != dtype::kUInt8) continue;
      return bad_input("bench takes samples that are preprocessed already: inputs of float32 or int64");
    }
    const auto found = known.find(input->name);
    if (found == known.end() || input->dtype != dtype::kFloat32) continue;
    const size_t channels = found->second.mean.size();
    if (channels > 1 && (column.shape.empty() || static_cast<size_t>(column.shape[0]) != channels)) {
      return bad_usage({"mean and std of ", input->name, " are given for ", channels,
                        " channels, the samples have other ones"});
    }
    chosen[input->name] = found->second;
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
    return bad_input({start, found.size(), " of them, not ", wanted.size()});
  }
  const size_t index =
      static_cast<size_t>(std::mismatch(wanted.begin(), wanted.end(), found.begin()).first - wanted.begin());
  return bad_input({start, "class ", index, " is ", found[index], ", not ", wanted[index]});
}

}  // namespace

Result<size_t> choose_batch_size(const Program& program, const Settings& settings) {
  const size_t most = program.contract().most_batch;
  const bool chosen = settings.has("finetune", "batch_size");
  const size_t usual = program.contract().splits_batches ? kUsualBatch : std::min(kUsualBatch, most);
  const uint64_t wanted = chosen ? settings.whole("finetune", "batch_size") : usual;
  if (program.contract().fixed_batch()) {
    if (chosen && wanted != most) {
      return bad_usage({"the program takes batches of ", most, " samples only"});
    }
    return most;
  }
  if (wanted > most && !program.contract().splits_batches) {
    return bad_usage({"the program takes batches of up to ", most, ", not ", wanted, "; use --batch-size ",
                      most, " or export it for larger ones"});
  }
  return static_cast<size_t>(wanted);
}

Result<Samples> open_samples(const Program& program, const std::vector<std::string>& paths,
                             const SampleSettings& settings, Observer& observer) {
  EDGETRAIN_TAKE(Dataset opened, Dataset::open(paths));
  Samples samples{std::make_unique<Dataset>(std::move(opened)), nullptr};
  const Dataset& dataset = *samples.dataset;
  EDGETRAIN_CHECK(dataset.check_fits(program.contract()));
  EDGETRAIN_CHECK(check_classes(paths[0], program, dataset));
  EDGETRAIN_TAKE(auto preprocessing, choose_preprocessing(program, dataset, settings));
  const size_t batch_size = settings.batch_size;
  if (const size_t rest = dataset.size() % batch_size; program.contract().fixed_batch() && rest != 0) {
    observer.on_note(joined({"the program takes whole batches of ", batch_size, " only; the last ", rest,
                             " samples of ", paths[0], " are left out"}));
  }
  samples.loader = std::make_unique<BatchLoader>(dataset, program.contract(), std::move(preprocessing),
                                                 batch_size, settings.shuffle, settings.seed);
  if (samples.loader->count() == 0) return bad_input({paths[0], " has fewer samples than one batch"});
  return samples;
}

}  // namespace edgetrain
