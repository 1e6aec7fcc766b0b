#include "edgetrain/trainer.h"

#include <algorithm>
#include <cinttypes>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "edgetrain/dropout.h"
#include "edgetrain/interrupt.h"
#include "edgetrain/stopwatch.h"

namespace edgetrain {

Result<Meter> evaluate(Program& program, BatchLoader& loader, const std::string& loss) {
  Meter meter;
  for (size_t i = 0; i < loader.count(); ++i) {
    EDGETRAIN_CHECK(check_interrupt());
    const Batch batch = loader.batch(i);
    EDGETRAIN_TAKE(const Outcome outcome, program.evaluate(batch));
    meter.add(outcome.loss, count_correct(outcome.predictions, batch, loss), batch.size);
  }
  return meter;
}

Trainer::Trainer(Program& program, BatchLoader& training, BatchLoader* validation,
                 const TrainSettings& settings)
    : program_(program),
      training_(training),
      validation_(validation),
      settings_(settings),
      stepper_(program, training, settings.optimizer),
      loss_(program.manifest() ? program.manifest()->loss : ""),
      total_steps_(settings.epochs * steps_per_epoch()) {
  if (settings.max_steps) total_steps_ = std::min(total_steps_, *settings.max_steps);
}

double Trainer::rate(uint64_t step) const {
  return learning_rate(settings_.schedule, settings_.optimizer.lr, step, total_steps_, steps_per_epoch());
}

Status Trainer::run() {
  if (!resumed_) {
    EpochRecord record;
    EDGETRAIN_CHECK(validate(record));
    EDGETRAIN_CHECK(epoch_line(record).print());
    last_ = record;
    EDGETRAIN_CHECK(stop_if_asked(false));
  }
  while (step_ < total_steps_) {
    training_.begin_epoch(epoch_);
    EDGETRAIN_CHECK(train_epoch());
    EpochRecord record;
    record.epoch = epoch_ + 1;
    record.train_loss = meter_.loss();
    record.train_accuracy = meter_.accuracy();
    record.train_time_s = train_time_;
    record.train_time_per_sample_s = train_time_ / static_cast<double>(std::max<uint64_t>(1, meter_.samples));
    record.steps = step_;
    record.learning_rate = rate(step_ - 1);
    const bool last = step_ >= total_steps_;
    const bool due = settings_.eval_every > 0 && record.epoch % settings_.eval_every == 0;
    if (last || due) EDGETRAIN_CHECK(validate(record));
    // What the last step made of the weights shows in no training loss any more.
    const bool good = !record.val_loss || std::isfinite(*record.val_loss);
    if (!good || !program_.weights_finite())
      return not_finite("the weights or their validation loss are not finite");
    if (batch_ >= training_.count()) {
      ++epoch_;
      batch_ = 0;
      meter_ = {};
      train_time_ = 0;
    }
    EDGETRAIN_CHECK(save());
    std::fprintf(stderr, "epoch %" PRIu64 "/%" PRIu64 ": loss %.4f", record.epoch, settings_.epochs,
                 *record.train_loss);
    if (record.val_loss) std::fprintf(stderr, ", validation loss %.4f", *record.val_loss);
    if (record.val_accuracy) std::fprintf(stderr, ", accuracy %.2f %%", 100 * *record.val_accuracy);
    std::fprintf(stderr, ", %.1f s\n", *record.train_time_s);
    EDGETRAIN_CHECK(epoch_line(record).print());
    last_ = record;
    const bool skipped = validation_ != nullptr && !record.val_loss;
    if (!last || skipped) EDGETRAIN_CHECK(stop_if_asked(false));
  }
  return {};
}

Status Trainer::train_epoch() {
  while (batch_ < training_.count() && step_ < total_steps_) {
    EDGETRAIN_CHECK(train_step());
    if (batch_ >= training_.count() || step_ >= total_steps_) break;
    if (settings_.save_every > 0 && step_ % settings_.save_every == 0) {
      if (!program_.weights_finite()) return not_finite("the weights are not finite");
      EDGETRAIN_CHECK(save());
    }
    EDGETRAIN_CHECK(stop_if_asked(true));
  }
  return {};
}

uint64_t Trainer::steps_per_epoch() const {
  return (training_.count() + settings_.accumulate - 1) / settings_.accumulate;
}

Status Trainer::train_step() {
  const Stopwatch watch;
  dropout::begin_step(settings_.seed, step_);
  const size_t end = std::min<uint64_t>(training_.count(), batch_ + settings_.accumulate);
  EDGETRAIN_TAKE(const Meter step, stepper_.forward_backward(batch_, end));
  if (!std::isfinite(step.loss()) || !stepper_.gradients_finite())
    return not_finite("loss or gradients are not finite");
  const double lr = rate(step_);
  stepper_.update(lr);
  batch_ = end;
  train_time_ += watch.seconds();
  meter_.add(step.loss(), step.has_accuracy ? step.correct : -1, step.samples);
  ++step_;
  if (!settings_.log_steps) return {};
  return JsonLine("step")
      .add("step", step_)
      .add("of", total_steps_)
      .add("loss", step.loss())
      .add("learning_rate", lr)
      .add("samples", step.samples)
      .add("time_s", watch.seconds())
      .print();
}

Status Trainer::validate(EpochRecord& record) {
  if (validation_ == nullptr) return {};
  const Stopwatch watch;
  const auto found = evaluate(program_, *validation_, loss_);
  // Training saves first, and says then that it was stopped.
  if (!found.ok() && found.failure().exit == Exit::kInterrupted) return {};
  EDGETRAIN_TAKE(const Meter meter, found);
  record.val_loss = meter.loss();
  record.val_accuracy = meter.accuracy();
  record.val_time_s = watch.seconds();
  record.val_time_per_sample_s =
      *record.val_time_s / static_cast<double>(std::max<uint64_t>(1, meter.samples));
  if (record.epoch == 0) std::fprintf(stderr, "before training: validation loss %.4f\n", *record.val_loss);
  return {};
}

Failure Trainer::not_finite(const std::string& what) const {
  const std::string kept =
      saved_ ? "the output still holds the weights saved last" : "no new weights were written";
  char lr[32];
  std::snprintf(lr, sizeof(lr), "%g", rate(step_));
  return check_failed(what + " at step " + std::to_string(step_ + 1) + "; " + kept +
                      "; lower the learning rate (now " + lr + ")");
}

Status Trainer::stop_if_asked(bool save_first) {
  if (!interrupt_requested()) return {};
  if (step_ == 0) return Failure{Exit::kInterrupted, "stopped before the first step; nothing was written"};
  if (save_first) {
    if (!program_.weights_finite()) return not_finite("the weights are not finite");
    EDGETRAIN_CHECK(save());
  }
  return Failure{Exit::kInterrupted, "stopped after step " + std::to_string(step_) +
                                         "; weights and state are saved, go on with --resume"};
}

Status Trainer::save() {
  // Weights first: a state that is older than them repeats steps, a newer one would lose none either, since
  // it holds the weights itself. Either way a crash in between costs time only.
  EDGETRAIN_CHECK(program_.save(settings_.output));
  saved_ = true;
  StateFile state;
  for (const auto& [what, value] : settings_.identity) state.put_text("identity:" + what, value);
  state.put_number("total_steps", total_steps_);
  state.put_number("epoch", epoch_);
  state.put_number("batch", batch_);
  state.put_number("step", step_);
  state.put_number("samples", meter_.samples);
  state.put_number("has_accuracy", meter_.has_accuracy);
  state.put_real("loss_sum", meter_.loss_sum);
  state.put_real("correct", meter_.correct);
  state.put_real("train_time", train_time_);
  const Optimizer& optimizer = stepper_.optimizer();
  state.put_number("optimizer_steps", optimizer.steps());
  for (const auto& tensor : program_.changed()) state.put("tensor:" + tensor.name, tensor.data, tensor.bytes);
  const auto& parameters = program_.parameters();
  for (size_t i = 0; i < optimizer.first().size(); ++i) {
    const auto &first = optimizer.first()[i], &second = optimizer.second()[i];
    state.put("first:" + parameters[i].name, first.data(), first.size() * sizeof(float));
    state.put("second:" + parameters[i].name, second.data(), second.size() * sizeof(float));
  }
  return state.write(state_path(settings_.output));
}

Status Trainer::resume() {
  EDGETRAIN_TAKE(const StateFile state, StateFile::read(state_path(settings_.output)));
  std::string changed;
  for (const auto& [what, value] : settings_.identity) {
    const std::string* found = state.find("identity:" + what);
    if (found == nullptr || *found != value) {
      const bool hash = found != nullptr && found->size() == 64;
      changed += (changed.empty() ? "" : ", ") + what +
                 (hash || !found ? "" : " (was " + *found + ", now " + value + ")");
    }
  }
  if (!changed.empty()) {
    return bad_usage("the run can't be resumed with other settings: " + changed +
                     "; change them back, or start anew without --resume");
  }
  EDGETRAIN_TAKE(const uint64_t planned, state.number("total_steps"));
  EDGETRAIN_TAKE(epoch_, state.number("epoch"));
  EDGETRAIN_TAKE(batch_, state.number("batch"));
  EDGETRAIN_TAKE(step_, state.number("step"));
  EDGETRAIN_TAKE(meter_.samples, state.number("samples"));
  EDGETRAIN_TAKE(const uint64_t has_accuracy, state.number("has_accuracy"));
  meter_.has_accuracy = has_accuracy != 0;
  EDGETRAIN_TAKE(meter_.loss_sum, state.real("loss_sum"));
  EDGETRAIN_TAKE(meter_.correct, state.real("correct"));
  EDGETRAIN_TAKE(train_time_, state.real("train_time"));
  EDGETRAIN_TAKE(const uint64_t optimizer_steps, state.number("optimizer_steps"));
  for (const auto& tensor : program_.changed())
    EDGETRAIN_CHECK(state.copy("tensor:" + tensor.name, tensor.data, tensor.bytes));
  std::vector<std::vector<float>> first, second;
  for (const auto& parameter : program_.parameters()) {
    first.push_back(state.floats("first:" + parameter.name));
    second.push_back(state.floats("second:" + parameter.name));
    for (const auto* buffer : {&first.back(), &second.back()}) {
      if (!buffer->empty() && buffer->size() != parameter.count) {
        return bad_input(state_path(settings_.output) + " is no usable state; start anew without --resume");
      }
    }
  }
  stepper_.optimizer().restore(optimizer_steps, std::move(first), std::move(second));
  resumed_ = true;
  // The state holds the weights, too: an output that was lost, or is older than the state, is made whole
  // again.
  EDGETRAIN_CHECK(program_.save(settings_.output));
  saved_ = true;
  if (settings_.schedule.name == "cosine" && planned != total_steps_) {
    std::fprintf(stderr,
                 "note: the cosine schedule now ends at step %" PRIu64 ", not %" PRIu64
                 ": the learning rate is not what one uninterrupted run would have had\n",
                 total_steps_, planned);
  }
  if (step_ >= total_steps_) {
    std::fprintf(stderr,
                 "the run is finished already (%" PRIu64 " steps); raise --epochs or --max-steps to go on\n",
                 step_);
  } else {
    std::fprintf(stderr, "resuming after step %" PRIu64 " of %" PRIu64 "\n", step_, total_steps_);
  }
  return {};
}

}  // namespace edgetrain
