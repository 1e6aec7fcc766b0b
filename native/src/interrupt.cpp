#include "edgetrain/interrupt.h"

#include <csignal>

namespace edgetrain {
namespace {

volatile std::sig_atomic_t requested = 0;

void request(int) { requested = 1; }

}  // namespace

void catch_interrupts() {
  struct sigaction action{};
  action.sa_handler = request;
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

bool interrupt_requested() { return requested != 0; }

Status check_interrupt() {
  return requested ? Status(Failure{Exit::kInterrupted, "stopped by a signal"}) : Status();
}

}  // namespace edgetrain
