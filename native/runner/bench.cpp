#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <optional>

#include "commands.h"
#include "edgetrain/cpu.h"
#include "edgetrain/json.h"
#include "edgetrain/memory.h"
#include "edgetrain/stepper.h"
#include "edgetrain/stopwatch.h"
#include "edgetrain/tensor_writer.h"
#include "json_line.h"
#include "outputs.h"
#include "setup.h"

namespace edgetrain {
namespace {

/// Lines of stdin. Waits with poll, since a signal ends that, other than read.
class Lines {
 public:
  explicit Lines(const Stop& stop) : stop_(stop) {}

  /// None at the end of stdin.
  Result<std::optional<std::string>> next() {
    while (true) {
      const size_t end = pending_.find('\n');
      if (end != std::string::npos || (ended_ && !pending_.empty())) {
        std::optional<std::string> line = pending_.substr(0, end);
        pending_.erase(0, end == std::string::npos ? end : end + 1);
        return line;
      }
      if (ended_) return std::optional<std::string>();
      EDGETRAIN_CHECK(read_more());
    }
  }

 private:
  Status read_more() {
    EDGETRAIN_CHECK(check_stop(&stop_));
    struct pollfd input{STDIN_FILENO, POLLIN, 0};
    if (::poll(&input, 1, -1) < 0 && errno == EINTR) return {};
    char text[256];
    const ssize_t count = ::read(STDIN_FILENO, text, sizeof(text));
    if (count < 0) return failed({"can't read stdin: ", std::strerror(errno)});
    ended_ = count == 0;
    pending_.append(text, static_cast<size_t>(count));
    return {};
  }

  const Stop& stop_;
  std::string pending_;
  bool ended_ = false;
};

/// Writes the gradients of the first batch. Nothing that the steps go on with is changed.
Status write_gradients(const std::string& path, Program& program, BatchLoader& batches) {
  if (program.contract().gradient_method() == nullptr) {
    return bad_usage(
        "the program keeps its gradients to itself; leave --gradients out, or export it with "
        "--update-in-graph auto");
  }
  // Running statistics: a step begins with those before the batch.
  std::vector<std::vector<uint8_t>> before;
  for (const LiveTensor& tensor : program.changed())
    before.emplace_back(tensor.data, tensor.data + tensor.bytes);
  MeanGradients gradients(program, batches);
  EDGETRAIN_CHECK(gradients.run(0, 1));
  std::vector<NamedTensor> tensors;
  for (const auto& p : gradients.parameters()) {
    tensors.push_back({p.name, p.shape, dtype::kFloat32, p.gradient, p.count * sizeof(float)});
  }
  EDGETRAIN_CHECK(write_tensors(path, tensors));
  for (size_t i = 0; i < before.size(); ++i)
    std::memcpy(program.changed()[i].data, before[i].data(), before[i].size());
  return {};
}

/// Steps over the batches in the file's order, going round at its end.
class Bench {
 public:
  Bench(const Arguments& arguments, Program& program, BatchLoader& batches, const UpdateChoice& choice,
        const Stop& stop)
      : arguments_(arguments),
        program_(program),
        batches_(batches),
        stop_(stop),
        stepper_(Stepper::make(program, batches, arguments.job.settings, choice)) {}

  Status run(uint64_t steps) {
    std::vector<std::string> seconds, losses;
    for (uint64_t i = 0; i < steps; ++i) {
      EDGETRAIN_CHECK(check_stop(&stop_));
      EDGETRAIN_TAKE(const StepResult taken, step());
      seconds.push_back(json_number(taken.seconds));
      losses.push_back(json_float(taken.loss));
    }
    return JsonLine("steps")
        .add_raw("seconds", json_list(seconds))
        .add_raw("losses", json_list(losses))
        .add("peak_rss_bytes", peak_rss_bytes())
        .print();
  }

 private:
  Result<StepResult> step() {
    const Settings& settings = arguments_.job.settings;
    const uint64_t seed = settings.whole("finetune", "seed");
    if (step_ == 0 && !arguments_.gradients.empty()) {
      program_.begin_step(seed, 0);
      EDGETRAIN_CHECK(write_gradients(arguments_.gradients, program_, batches_));
    }
    const size_t batch = step_ % batches_.count();
    program_.begin_step(seed, step_++);
    return stepper_->step(batch, batch + 1, settings.real("optimizer", "lr"));
  }

  const Arguments& arguments_;
  Program& program_;
  BatchLoader& batches_;
  const Stop& stop_;
  std::unique_ptr<Stepper> stepper_;
  uint64_t step_ = 0;
};

Status answer_lines(Bench& bench, const Stop& stop) {
  Lines lines(stop);
  while (true) {
    EDGETRAIN_TAKE(const auto line, lines.next());
    if (!line) return {};
    EDGETRAIN_TAKE(const uint64_t steps, parse_steps(*line));
    EDGETRAIN_CHECK(bench.run(steps));
  }
}

}  // namespace

Status run_bench(Arguments& arguments, const Stop& stop) {
  const uint64_t rss_before = rss_bytes();
  const Stopwatch watch;
  EDGETRAIN_TAKE(const auto program, open_program(arguments));
  const double load_ms = 1e3 * watch.seconds();
  Settings& settings = arguments.job.settings;
  take_program_optimizer(settings, program->contract());
  EDGETRAIN_CHECK(settings.check());
  EDGETRAIN_TAKE(const UpdateChoice choice, choose_update(program->contract(), settings));
  EDGETRAIN_TAKE(const size_t batch_size, choose_batch_size(*program, settings));
  EDGETRAIN_TAKE(const Samples samples, open_samples(arguments, *program, batch_size));
  if (samples.dataset->size() % batch_size != 0) {
    return bad_usage({samples.dataset->size(), " samples are no whole batches of ", batch_size,
                      "; choose another --batch-size"});
  }
  EDGETRAIN_CHECK(check_outputs(arguments, *program));
  EDGETRAIN_CHECK(check_groups(settings.rates(), program->contract().trainable()));
  Bench bench(arguments, *program, *samples.loader, choice, stop);
  EDGETRAIN_CHECK(JsonLine("ready")
                      .add("load_ms", load_ms)
                      .add("rss_bytes", rss_before)
                      .add("threads", uint64_t{thread_count()})
                      .add("update", choice.in_graph ? "graph" : "outside")
                      .add("why_outside", choice.why_outside)
                      .print());
  Status done = answer_lines(bench, stop);
  Status profiled = write_profile(arguments, *program);
  return std::move(done.ok() ? profiled : done);
}

}  // namespace edgetrain
