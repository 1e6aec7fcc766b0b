// edgetrain-runner: fine-tunes an exported program where there is no Python.

#include <cstdio>
#include <cstdlib>
#include <exception>

#include "../kernels/isa.h"
#include "commands.h"
#include "edgetrain/interrupt.h"
#include "edgetrain/platform.h"

namespace {

edgetrain::Status run_command(edgetrain::Arguments& arguments) {
  EDGETRAIN_CHECK(edgetrain::kernels::use_isa(std::getenv("EDGETRAIN_ISA")));
  if (arguments.command == "train") return edgetrain::run_train(arguments);
  if (arguments.command == "evaluate") return edgetrain::run_evaluate(arguments);
  if (arguments.command == "predict") return edgetrain::run_predict(arguments);
  return arguments.command == "bench" ? edgetrain::run_bench(arguments) : edgetrain::run_info(arguments);
}

}  // namespace

int main(int argc, char** argv) {
  using edgetrain::Exit;
  // ExecuTorch throws nothing; containers of ours can run out of memory.
  try {
    auto arguments = edgetrain::parse_arguments(argc, argv);
    if (arguments.ok() && arguments->help) {
      return std::fputs(edgetrain::help_text(arguments->command).c_str(), stdout) >= 0 &&
                     std::fflush(stdout) == 0
                 ? 0
                 : 1;
    }
    edgetrain::Status status;
    if (arguments.ok()) {
      edgetrain::quiet_runtime();
      edgetrain::catch_interrupts();
      status = run_command(*arguments);
    } else {
      status = arguments.failure();
    }
    if (status.ok()) return static_cast<int>(Exit::kDone);
    std::fprintf(stderr, "edgetrain-runner: %s\n", status.failure().message.c_str());
    return static_cast<int>(status.failure().exit);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "edgetrain-runner: %s\n", error.what());
    return static_cast<int>(Exit::kFailed);
  }
}
