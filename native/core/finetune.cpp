#include "edgetrain/finetune.h"

#include "best_epoch.h"
#include "contents.h"
#include "edgetrain/hashing.h"
#include "edgetrain/samples.h"
#include "edgetrain/trainer.h"
#include "feature_cache.h"
#include "history.h"

namespace edgetrain {
namespace {

Status check_suffix(const Job& job, const Program& program) {
  const bool external = program.files().weights.has_value();
  const std::string suffix = external ? ".ptd" : ".pte";
  if (job.output.size() < 5 || job.output.compare(job.output.size() - 4, 4, suffix) != 0) {
    return bad_usage({job.program, " keeps its weights ", (external ? "outside" : "inside"),
                      "; name an output that ends in ", suffix});
  }
  return {};
}

/// What a run must have in common with the one it goes on with.
std::map<std::string, std::string> source_of(const Program& program, const Dataset& data) {
  const auto hash = [](const MappedFile& file) { return hex(sha256(file.data(), file.size())); };
  const TensorFile* weights = program.files().source();
  return {{"program", hash(program.files().program)},
          {"weights", weights == nullptr ? "" : hash(weights->file())},
          {"data", data.fingerprint()}};
}

/// Has a backbone run once on each sample, where that stays the same and what it makes fits into memory.
void keep_features(Program& program, const Samples& samples, const Settings& settings, bool constant) {
  const size_t bytes = FeatureCache::bytes(program.contract(), samples.dataset->size());
  if (constant && bytes > 0 && bytes <= settings.whole("finetune", "keep_features"))
    samples.loader->keep_features(program);
}

}  // namespace

std::string state_path(const std::string& output) { return with_suffix(output, ".state.ptd"); }

std::string history_path(const std::string& output) { return with_suffix(output, ".history.json"); }

Result<std::unique_ptr<Program>> open_program(const Job& job, std::unique_ptr<Profiler> profiler,
                                              unsigned more) {
  EDGETRAIN_TAKE(ProgramFiles files, ProgramFiles::open(job.program, job.weights));
  unsigned update = use::kGradients;
  if (files.manifest) {
    Settings settings = job.settings;
    take_program_optimizer(settings, files.manifest->contract);
    EDGETRAIN_TAKE(const UpdateChoice choice, choose_update(files.manifest->contract, settings));
    if (choice.in_graph) update = use::kUpdates;
  }
  const unsigned validation = job.validation.empty() ? 0 : use::kEvaluation;
  return Program::load(std::move(files), update | validation | more, std::move(profiler));
}

Result<FinetuneResult> finetune(Program& program, Job job, Observer& observer, const Stop* stop) {
  Settings& settings = job.settings;
  take_program_optimizer(settings, program.contract());
  EDGETRAIN_CHECK(settings.check());
  EDGETRAIN_TAKE(const UpdateChoice choice, choose_update(program.contract(), settings));
  EDGETRAIN_CHECK(check_suffix(job, program));
  EDGETRAIN_CHECK(program.prepare_save(holds_of(settings.text("finetune", "save"))));
  EDGETRAIN_TAKE(const size_t batch_size, choose_batch_size(program, settings));
  EDGETRAIN_CHECK(settings.set("finetune", "batch_size", std::to_string(batch_size)));
  SampleSettings taken{job.preprocessing, false, batch_size, settings.on("finetune", "shuffle"),
                       settings.whole("finetune", "seed")};
  EDGETRAIN_TAKE(const Samples training, open_samples(program, job.data, taken, observer));
  EDGETRAIN_CHECK(training.loader->augment(job.augmentation()));
  keep_features(program, training, settings, !job.augmentation().any());
  Samples validation;
  if (!job.validation.empty()) {
    taken.batch_size = program.contract().most_batch;
    taken.shuffle = false;
    EDGETRAIN_TAKE(validation, open_samples(program, job.validation, taken, observer));
    keep_features(program, validation, settings, true);
  }
  EDGETRAIN_CHECK(check_groups(settings.rates(), program.contract().trainable()));
  EDGETRAIN_TAKE(BestEpoch best,
                 BestEpoch::make(settings, program.contract().metrics, validation.loader != nullptr));
  std::optional<History> history;
  if (!job.history.empty()) {
    EDGETRAIN_TAKE(history, History::open(job.history));
  }
  Trainer trainer(program, *training.loader, validation.loader.get(), job, choice, std::move(best),
                  std::move(history), source_of(program, *training.dataset), observer, stop);
  observer.on_progress(choice.sentence());
  if (job.resume) EDGETRAIN_CHECK(trainer.resume());
  EDGETRAIN_CHECK(trainer.run());
  return FinetuneResult{trainer.steps(), trainer.last(), state_path(job.output), trainer.kept_epoch()};
}

}  // namespace edgetrain
