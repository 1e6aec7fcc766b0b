#include "edgetrain/trainer.h"

#include <algorithm>
#include <cmath>

#include "best_epoch.h"
#include "edgetrain/commit.h"
#include "edgetrain/finetune.h"
#include "edgetrain/manifest.h"
#include "edgetrain/stopwatch.h"
#include "history.h"
#include "kept_weights.h"
#include "parts.h"
#include "preprocessing_json.h"
#include "run_state.h"

namespace edgetrain {
namespace {

constexpr char kFinetune[] = "finetune";
/// Sections of the settings that a run's state holds.
constexpr const char* kSections[] = {kFinetune, "optimizer", "schedule", "augmentation"};

/// What a run's settings are, by section, each a JSON object.
std::map<std::string, std::string> config_of(const Job& job, const BatchLoader& training) {
  std::map<std::string, std::string> config;
  for (const char* section : kSections) config[section] = "{" + job.settings.members(section) + "}";
  std::string inputs;
  for (const auto& [name, preprocessing] : training.preprocessing()) {
    inputs += (inputs.empty() ? "" : ", ") + json_quoted(name) + ": " + preprocessing_json(preprocessing);
  }
  config["preprocessing"] = "{" + inputs + "}";
  return config;
}

}  // namespace

Result<Meter> evaluate(Program& program, BatchLoader& loader, const Stop* stop) {
  Meter meter;
  for (size_t i = 0; i < loader.count(); ++i) {
    EDGETRAIN_CHECK(check_stop(stop));
    EDGETRAIN_TAKE(const Batch batch, loader.batch(i));
    EDGETRAIN_CHECK(for_each_part(program.contract(), batch, [&](const Batch& part) -> Status {
      EDGETRAIN_TAKE(const Outcome outcome, program.evaluate(part));
      meter.add(outcome.sums, part.size);
      return {};
    }));
  }
  return meter;
}

Trainer::Trainer(Program& program, BatchLoader& training, BatchLoader* validation, const Job& job,
                 const UpdateChoice& choice, BestEpoch best, std::optional<History> history,
                 std::map<std::string, std::string> source, Observer& observer, const Stop* stop)
    : program_(program),
      training_(training),
      validation_(validation),
      job_(job),
      observer_(observer),
      stop_(stop),
      schedule_(job.settings),
      lr_(job.settings.real("optimizer", "lr")),
      stepper_(Stepper::make(program, training, job.settings, choice)),
      accumulate_(job.settings.whole(kFinetune, "accumulate")),
      total_steps_(job.settings.whole(kFinetune, "epochs") * steps_per_epoch()),
      run_(std::make_unique<RunRecord>()),
      best_epoch_(std::make_unique<BestEpoch>(std::move(best))),
      best_(std::make_unique<KeptWeights>()),
      history_(history ? std::make_unique<History>(std::move(*history)) : nullptr),
      last_(new_record()) {
  if (job.settings.has(kFinetune, "max_steps")) {
    total_steps_ = std::min(total_steps_, job.settings.whole(kFinetune, "max_steps"));
  }
  run_->source = std::move(source);
  run_->config = config_of(job, training);
}

Trainer::~Trainer() = default;

uint64_t Trainer::steps() const { return run_->step; }

std::optional<uint64_t> Trainer::kept_epoch() const {
  return best_epoch_->keeps() ? run_->best_epoch : std::nullopt;
}

double Trainer::rate(uint64_t step) const {
  return learning_rate(schedule_, lr_, step, total_steps_, steps_per_epoch());
}

uint64_t Trainer::steps_per_epoch() const { return (training_.count() + accumulate_ - 1) / accumulate_; }

EpochRecord Trainer::new_record() const {
  EpochRecord record;
  record.train = record.val = no_figures(program_.contract().metrics);
  return record;
}

Status Trainer::run() {
  const auto& metrics = program_.contract().metrics;
  RunRecord& run = *run_;
  if (!resumed_) {
    EpochRecord record = new_record();
    EDGETRAIN_CHECK(validate(record));
    run.epochs.push_back(epoch_json(record));
    EDGETRAIN_CHECK(observer_.on_epoch(record));
    last_ = record;
    EDGETRAIN_CHECK(stop_if_asked(false));
  }
  while (run.step < total_steps_ && !best_epoch_->out_of_patience(run.epochs, run.best_epoch)) {
    training_.begin_epoch(run.epoch);
    EDGETRAIN_CHECK(train_epoch());
    EpochRecord record = new_record();
    record.epoch = run.epoch + 1;
    record.train = run.meter.figures(metrics);
    record.train_time_s = run.train_time_s;
    record.train_time_per_sample_s =
        run.train_time_s / static_cast<double>(std::max<uint64_t>(1, run.meter.samples));
    record.steps = run.step;
    record.learning_rate = rate(run.step - 1);
    const bool last = run.step >= total_steps_;
    const uint64_t every = job_.settings.whole(kFinetune, "eval_every");
    if (last || (every > 0 && record.epoch % every == 0)) EDGETRAIN_CHECK(validate(record));
    const auto& loss = record.val[0].value;
    // What the last step made of the weights shows in no training loss any more.
    if ((loss && !std::isfinite(*loss)) || !program_.weights_finite())
      return not_finite("the weights or their validation loss are not finite");
    const bool finished = run.batch >= training_.count();
    if (finished) {
      ++run.epoch;
      run.batch = 0;
      run.meter = {};
      run.train_time_s = 0;
    }
    run.epochs.push_back(epoch_json(record));
    keep_if_best(record.epoch, finished);
    if (is_new_best_ || !best_epoch_->keeps()) last_ = record;
    EDGETRAIN_CHECK(save());
    EDGETRAIN_CHECK(observer_.on_epoch(record));
    const bool skipped = validation_ != nullptr && !loss;
    if (!last || skipped) EDGETRAIN_CHECK(stop_if_asked(false));
  }
  if (run.step < total_steps_) {
    observer_.on_progress(joined(
        {"stopped early: no epoch was better than epoch ", std::to_string(run.best_epoch.value_or(0))}));
  }
  return {};
}

void Trainer::keep_if_best(uint64_t epoch, bool whole) {
  RunRecord& run = *run_;
  const std::string& here = run.epochs[epoch];
  // Part of an epoch is no match for a whole one: a run that is resumed goes on as if it never was.
  const bool better = run.best_epoch ? whole && best_epoch_->better(here, run.epochs[*run.best_epoch])
                                     : best_epoch_->counts(here);
  if (!better) return;
  run.best_epoch = epoch;
  if (!best_epoch_->keeps()) return;
  best_->keep(program_);
  is_new_best_ = true;
}

Status Trainer::train_epoch() {
  const uint64_t save_every = job_.settings.whole(kFinetune, "save_every");
  while (run_->batch < training_.count() && run_->step < total_steps_) {
    EDGETRAIN_CHECK(train_step());
    if (run_->batch >= training_.count() || run_->step >= total_steps_) break;
    if (save_every > 0 && run_->step % save_every == 0) {
      if (!program_.weights_finite()) return not_finite("the weights are not finite");
      EDGETRAIN_CHECK(save());
    }
    EDGETRAIN_CHECK(stop_if_asked(true));
  }
  return {};
}

Status Trainer::train_step() {
  const Stopwatch watch;
  program_.begin_step(job_.settings.whole(kFinetune, "seed"), run_->step);
  const size_t end = std::min<uint64_t>(training_.count(), run_->batch + accumulate_);
  const double lr = rate(run_->step);
  EDGETRAIN_TAKE(const StepResult step, stepper_->step(run_->batch, end, lr));
  if (!step.finite) {
    return not_finite("loss or gradients are not finite", training_.broken_sample(run_->batch, end));
  }
  run_->batch = end;
  run_->train_time_s += watch.seconds();
  run_->meter.add(step.meter.sums, step.meter.samples);
  ++run_->step;
  return observer_.on_step(
      {run_->step, total_steps_, step.loss, step.count, lr, step.meter.samples, watch.seconds()});
}

Status Trainer::validate(EpochRecord& record) {
  if (validation_ == nullptr) return {};
  const Stopwatch watch;
  auto found = evaluate(program_, *validation_, stop_);
  // Training saves first, and says then that it was stopped.
  if (!found.ok() && found.failure().exit == Exit::kInterrupted) return {};
  EDGETRAIN_TAKE(const Meter meter, std::move(found));
  record.val = meter.figures(program_.contract().metrics);
  record.val_time_s = watch.seconds();
  record.val_time_per_sample_s =
      *record.val_time_s / static_cast<double>(std::max<uint64_t>(1, meter.samples));
  return {};
}

Failure Trainer::not_finite(const std::string& what, const std::string& sample) const {
  const std::string kept =
      saved_ ? "the output still holds the weights saved last" : "no new weights were written";
  if (!sample.empty()) return bad_input({sample, "; ", kept, "; repair it or leave it out"});
  return check_failed({what, " at step ", run_->step + 1, "; ", kept, "; lower the learning rate (now ",
                       json_float(rate(run_->step)), ")"});
}

Status Trainer::stop_if_asked(bool save_first) {
  if (stop_ == nullptr || !*stop_) return {};
  if (run_->step == 0)
    return Failure{Exit::kInterrupted, "stopped before the first step; nothing was written"};
  if (save_first) {
    if (!program_.weights_finite()) return not_finite("the weights are not finite");
    EDGETRAIN_CHECK(save());
  }
  return Failure{Exit::kInterrupted, "stopped after step " + std::to_string(run_->step) +
                                         "; weights and state are saved, go on with --resume"};
}

Status Trainer::save() {
  run_->total_steps = total_steps_;
  run_->optimizer_steps = stepper_->steps();
  // The output keeps the best weights until there are better ones.
  std::vector<AtomicFile> files;
  if (is_new_best_ || best_->size() == 0) {
    best_->swap_with(program_);
    auto output = program_.new_files(job_.output);
    best_->swap_with(program_);
    EDGETRAIN_TAKE(files, std::move(output));
  }
  EDGETRAIN_TAKE(AtomicFile state,
                 RunState::new_file(state_path(job_.output), *run_, program_, *stepper_, *best_));
  files.push_back(std::move(state));
  if (history_) {
    EDGETRAIN_TAKE(AtomicFile history,
                   history_->new_file(history_path(job_.output), run_->epochs, kept_epoch()));
    files.push_back(std::move(history));
  }
  EDGETRAIN_CHECK(commit_together(with_suffix(job_.output, ""), std::move(files)));
  saved_ = true;
  is_new_best_ = false;
  return {};
}

Status Trainer::check_same_run(const RunRecord& saved) const {
  std::string changes;
  const auto add = [&changes](const std::string& more) {
    if (!more.empty()) changes += (changes.empty() ? "" : ", ") + more;
  };
  const std::pair<const char*, const char*> sources[] = {
      {"program", "the program"}, {"weights", "the weights it started from"}, {"data", "the data"}};
  for (const auto& [key, what] : sources) {
    const auto found = saved.source.find(key);
    if (found == saved.source.end() || found->second != run_->source.at(key)) add(what);
  }
  const auto section = [&saved](const char* name) {
    const auto found = saved.config.find(name);
    return found == saved.config.end() ? std::string("{}") : found->second;
  };
  Settings before;
  for (const char* name : kSections) {
    EDGETRAIN_TAKE(const Json object, parse_json(section(name)));
    EDGETRAIN_CHECK(before.read(name, object));
  }
  add(job_.settings.changes_since(before));
  if (section("preprocessing") != run_->config.at("preprocessing")) add("--scale, --mean and --std");
  if (changes.empty()) return {};
  return bad_usage({"the run can't be resumed with other settings: ", changes,
                    "; change them back, or start anew without --resume"});
}

Status Trainer::resume() {
  EDGETRAIN_TAKE(const RunState state, RunState::open(state_path(job_.output)));
  EDGETRAIN_CHECK(check_same_run(state.record));
  EDGETRAIN_CHECK(state.restore(program_, *stepper_, *best_));
  const uint64_t planned = state.record.total_steps;
  const auto config = run_->config;
  *run_ = state.record;
  run_->config = config;
  resumed_ = true;
  // The record of an epoch that max_steps cut short comes again once the epoch is whole.
  if (run_->step < total_steps_) {
    run_->epochs.resize(std::min<size_t>(run_->epochs.size(), run_->epoch + 1));
    if (run_->best_epoch && *run_->best_epoch > run_->epoch) {
      run_->best_epoch.reset();
      best_->drop();
    }
  }
  // The state holds all of them: an output or a history that was lost, or is another run's, is made whole.
  is_new_best_ = best_->size() > 0;
  EDGETRAIN_CHECK(save());
  const auto count = [](uint64_t steps) { return std::to_string(steps); };
  if (schedule_.name == "cosine" && planned != total_steps_) {
    observer_.on_note(
        joined({"the cosine schedule now ends at step ", count(total_steps_), ", not ", count(planned),
                ": the learning rate is not what one uninterrupted run would have had"}));
  }
  if (run_->step >= total_steps_) {
    observer_.on_progress(joined({"the run is finished already (", count(run_->step),
                                  " steps); raise --epochs, --max-steps or --patience to go on"}));
  } else {
    observer_.on_progress(joined({"resuming after step ", count(run_->step), " of ", count(total_steps_)}));
  }
  return {};
}

}  // namespace edgetrain
