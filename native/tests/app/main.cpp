// What an app does with the library: app PROGRAM.pte DATA.ptd OUTPUT.ptd. Prints a line per step.

#include <edgetrain/finetune.h>
#include <edgetrain/runtime_log.h>

#include <cstdio>

namespace {

class Watch final : public edgetrain::Observer {
 public:
  edgetrain::Status on_step(const edgetrain::StepRecord& step) override {
    std::printf("%g\n", step.loss);
    return {};
  }
};

edgetrain::Status run(char** argv) {
  edgetrain::Job job;
  job.program = argv[1];
  job.data = {argv[2]};
  job.output = argv[3];
  EDGETRAIN_CHECK(job.settings.set("finetune", "max_steps", "6"));
  EDGETRAIN_TAKE(const auto program, edgetrain::open_program(job));
  Watch watch;
  EDGETRAIN_TAKE(const auto result, edgetrain::finetune(*program, job, watch));
  return result.steps == 6 ? edgetrain::Status() : edgetrain::failed("other steps than asked for");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  edgetrain::keep_runtime_log(nullptr);
  const edgetrain::Status status = run(argv);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.failure().message.c_str());
  return static_cast<int>(status.failure().exit);
}
