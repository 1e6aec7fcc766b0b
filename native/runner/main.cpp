// edgetrain-runner: fine-tunes an exported program where there is no Python.

#include <cstdio>
#include <cstdlib>
#include <new>

#include "commands.h"
#include "edgetrain/cpu.h"
#include "edgetrain/runtime_log.h"
#include "signals.h"

namespace {

edgetrain::Status run_command(edgetrain::Arguments& arguments, const edgetrain::Stop& stop) {
  EDGETRAIN_CHECK(edgetrain::use_instruction_set(std::getenv("EDGETRAIN_ISA")));
  if (arguments.command == "train") return edgetrain::run_train(arguments, stop);
  if (arguments.command == "evaluate") return edgetrain::run_evaluate(arguments, stop);
  if (arguments.command == "predict") return edgetrain::run_predict(arguments, stop);
  return arguments.command == "bench" ? edgetrain::run_bench(arguments, stop)
                                      : edgetrain::run_info(arguments);
}

void say_why(const char* message) {
  std::fprintf(stderr, "edgetrain-runner: ExecuTorch gave up: %s\n", message);
}

/// Nothing here throws but an allocation that fails.
[[noreturn]] void out_of_memory() {
  std::fputs("edgetrain-runner: there is not enough memory; take smaller batches\n", stderr);
  std::_Exit(static_cast<int>(edgetrain::Exit::kFailed));
}

}  // namespace

int main(int argc, char** argv) {
  using edgetrain::Exit;
  edgetrain::end_with_parent();
  std::set_new_handler(out_of_memory);
  auto arguments = edgetrain::parse_arguments(argc, argv);
  if (arguments.ok() && arguments->help) {
    return std::fputs(edgetrain::help_text(arguments->command).c_str(), stdout) >= 0 &&
                   std::fflush(stdout) == 0
               ? 0
               : 1;
  }
  edgetrain::Status status;
  if (arguments.ok()) {
    edgetrain::keep_runtime_log(say_why);
    status = run_command(*arguments, edgetrain::catch_signals());
  } else {
    status = std::move(arguments).status();
  }
  if (status.ok()) return static_cast<int>(Exit::kDone);
  std::fprintf(stderr, "edgetrain-runner: %s\n", status.failure().message.c_str());
  return static_cast<int>(status.failure().exit);
}
