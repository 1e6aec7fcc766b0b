#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>

#include "commands.h"
#include "edgetrain/dropout.h"
#include "edgetrain/interrupt.h"
#include "edgetrain/json.h"
#include "edgetrain/platform.h"
#include "edgetrain/stepper.h"
#include "edgetrain/stopwatch.h"
#include "edgetrain/tensor_writer.h"
#include "outputs.h"
#include "samples.h"

namespace edgetrain {
namespace {

/// Lines of stdin. Waits with poll, since a signal ends that, other than read.
class Lines {
 public:
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
    EDGETRAIN_CHECK(check_interrupt());
    struct pollfd input{STDIN_FILENO, POLLIN, 0};
    if (::poll(&input, 1, -1) < 0 && errno == EINTR) return {};
    char text[256];
    const ssize_t count = ::read(STDIN_FILENO, text, sizeof(text));
    if (count < 0) return failed(std::string("can't read stdin: ") + std::strerror(errno));
    ended_ = count == 0;
    pending_.append(text, static_cast<size_t>(count));
    return {};
  }

  std::string pending_;
  bool ended_ = false;
};

Status write_gradients(const std::string& path, const std::vector<Parameter>& parameters) {
  std::vector<NamedTensor> tensors;
  for (const auto& p : parameters) tensors.push_back({p.name, p.shape, p.gradient, p.count});
  return write_tensors(path, tensors);
}

/// Steps over the batches in the file's order, going round at its end.
class Bench {
 public:
  Bench(const Arguments& arguments, Program& program, BatchLoader& batches)
      : arguments_(arguments), batches_(batches), stepper_(program, batches, arguments.train.optimizer) {}

  Status run(uint64_t steps) {
    std::vector<std::string> seconds, losses;
    for (uint64_t i = 0; i < steps; ++i) {
      EDGETRAIN_CHECK(check_interrupt());
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
    dropout::begin_step(arguments_.train.seed, step_);
    EDGETRAIN_TAKE(const Meter result, stepper_.forward_backward(batch, batch + 1));
    if (step_ == 0 && !arguments_.gradients.empty()) {
      EDGETRAIN_CHECK(write_gradients(arguments_.gradients, stepper_.parameters()));
    }
    stepper_.update(arguments_.train.optimizer.lr);
    ++step_;
    return result.loss();
  }

  const Arguments& arguments_;
  BatchLoader& batches_;
  Stepper stepper_;
  uint64_t step_ = 0;
};

Status answer_lines(Bench& bench) {
  Lines lines;
  while (true) {
    EDGETRAIN_TAKE(const auto line, lines.next());
    if (!line) return {};
    EDGETRAIN_TAKE(const uint64_t steps, parse_steps(*line));
    EDGETRAIN_CHECK(bench.run(steps));
  }
}

}  // namespace

Status run_bench(const Arguments& arguments) {
  const uint64_t rss_before = rss_bytes();
  const Stopwatch watch;
  EDGETRAIN_TAKE(const auto program, open_program(arguments));
  const double load_ms = 1e3 * watch.seconds();
  EDGETRAIN_TAKE(const size_t batch_size, choose_batch_size(arguments, *program));
  EDGETRAIN_TAKE(const Samples samples, open_samples(arguments, *program, arguments.data, batch_size, false));
  if (samples.dataset->size() % batch_size != 0) {
    return bad_usage(std::to_string(samples.dataset->size()) + " samples are no whole batches of " +
                     std::to_string(batch_size) + "; choose another --batch-size");
  }
  EDGETRAIN_CHECK(check_outputs(arguments, *program));
  EDGETRAIN_CHECK(check_groups(arguments.train.optimizer, program->parameters()));
  Bench bench(arguments, *program, *samples.loader);
  EDGETRAIN_CHECK(JsonLine("ready")
                      .add("load_ms", load_ms)
                      .add("rss_bytes", rss_before)
                      .add("threads", uint64_t{thread_count()})
                      .print());
  const Status done = answer_lines(bench);
  const Status profiled = write_profile(arguments, *program);
  return done.ok() ? profiled : done;
}

}  // namespace edgetrain
