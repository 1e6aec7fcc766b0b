#include "signals.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdlib>
#ifdef __linux__
#include <sys/prctl.h>
#endif

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

void end_with_parent() {
#ifdef __linux__
  const char* parent = std::getenv("EDGETRAIN_PARENT");
  if (parent == nullptr) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const bool gone = ::kill(static_cast<pid_t>(std::atol(parent)), 0) != 0 && errno == ESRCH;
  if (gone) ::_exit(1);  // it has died before that
#endif
}

}  // namespace edgetrain
