#include "signals.h"

#include <csignal>

namespace edgetrain {
namespace {

Stop stop = false;
static_assert(Stop::is_always_lock_free, "a signal handler may not wait");

void request(int) { stop = true; }

}  // namespace

const Stop& catch_signals() {
  struct sigaction action{};
  action.sa_handler = request;
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  return stop;
}

}  // namespace edgetrain
