#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "commands.h"
#include "edgetrain/cpu.h"
#include "edgetrain/json.h"
#include "edgetrain/stepper.h"
#include "edgetrain/stopwatch.h"
#include "edgetrain/tensor_writer.h"
#include "json_line.h"
#include "memory.h"
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

Status write_gradients(const std::string& path, const std::vector<Parameter>& parameters) {
  std::vector<NamedTensor> tensors;
  for (const auto& p : parameters) {
    tensors.push_back({p.name, p.shape, dtype::kFloat32, p.gradient, p.count * sizeof(float)});
  }
  return write_tensors(path, tensors);
}

/// Steps over the batches in the file's order, going round at its end.
class Bench {
 public:
  Bench(const Arguments& arguments, Program& program, BatchLoader& batches, const Stop& stop)
      : arguments_(arguments),
        program_(program),
        batches_(batches),
        stop_(stop),
        stepper_(program, batches, OptimizerSettings(arguments.job.settings)) {}

  Status run(uint64_t steps) {
    std::vector<std::string> seconds, losses;
    for (uint64_t i = 0; i < steps; ++i) {
      EDGETRAIN_CHECK(check_stop(&stop_));
      const double before = stepper_.seconds();
      EDGETRAIN_TAKE(const double loss, step());
      seconds.push_back(json_number(stepper_.seconds() - before));
      losses.push_back(json_float(loss));
    }
    return JsonLine("steps")
        .add_raw("seconds", json_list(seconds))
        .add_raw("losses", json_list(losses))
        .add("peak_rss_bytes", peak_rss_bytes())
        .print();
  }

 private:
  Result<double> step() {
    const size_t batch = step_ % batches_.count();
    program_.begin_step(arguments_.job.settings.whole("finetune", "seed"), step_);
    EDGETRAIN_TAKE(const StepResult result, stepper_.forward_backward(batch, batch + 1));
    if (step_ == 0 && !arguments_.gradients.empty()) {
      EDGETRAIN_CHECK(write_gradients(arguments_.gradients, stepper_.parameters()));
    }
    stepper_.update(arguments_.job.settings.real("optimizer", "lr"));
    ++step_;
    return result.loss;
  }

  const Arguments& arguments_;
  Program& program_;
  BatchLoader& batches_;
  const Stop& stop_;
  Stepper stepper_;
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
  EDGETRAIN_TAKE(const size_t batch_size, choose_batch_size(*program, arguments.job.settings));
  EDGETRAIN_TAKE(const Samples samples, open_samples(arguments, *program, batch_size));
  if (samples.dataset->size() % batch_size != 0) {
    return bad_usage({samples.dataset->size(), " samples are no whole batches of ", batch_size,
                      "; choose another --batch-size"});
  }
  EDGETRAIN_CHECK(check_outputs(arguments, *program));
  EDGETRAIN_CHECK(check_groups(arguments.job.settings.rates(), program->parameters()));
  Bench bench(arguments, *program, *samples.loader, stop);
  EDGETRAIN_CHECK(JsonLine("ready")
                      .add("load_ms", load_ms)
                      .add("rss_bytes", rss_before)
                      .add("threads", uint64_t{thread_count()})
                      .print());
  Status done = answer_lines(bench, stop);
  Status profiled = write_profile(arguments, *program);
  return std::move(done.ok() ? profiled : done);
}

}  // namespace edgetrain
