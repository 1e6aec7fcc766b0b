#include "signals.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#include "edgetrain/result.h"

namespace edgetrain {
namespace {

Stop stop = false;
static_assert(Stop::is_always_lock_free, "a signal handler may not wait");

void request(int) { stop = true; }

void write_error(const char* text) { (void)!::write(STDERR_FILENO, text, std::strlen(text)); }

/// The path of the file that is mapped there goes to stderr, by functions that a signal handler may call.
/// Only Linux has this list: lines of "from-to access offset device inode path".
void write_path_of(uintptr_t address) {
  const int maps = ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  char line[PATH_MAX + 128];
  size_t length = 0;
  for (char byte; maps >= 0 && ::read(maps, &byte, 1) == 1;) {
    if (byte != '\n') {
      if (length + 1 < sizeof line) line[length++] = byte;
      continue;
    }
    line[length] = '\0';
    length = 0;
    char* rest = nullptr;
    const uintptr_t from = std::strtoull(line, &rest, 16);
    const uintptr_t to = std::strtoull(rest + 1, nullptr, 16);
    const char* path = std::strchr(line, '/');
    if (from <= address && address < to && path != nullptr) return write_error(path);
  }
  write_error("a file");
}

void file_cut_short(int, siginfo_t* about, void*) {
  write_error("edgetrain-runner: ");
  write_path_of(reinterpret_cast<uintptr_t>(about->si_addr));
  write_error(" was cut short, or can't be read any more; what was saved before is whole\n");
  ::_exit(static_cast<int>(Exit::kBadInput));
}

}  // namespace

const Stop& catch_signals() {
  struct sigaction action{};
  action.sa_handler = request;
  action.sa_flags = SA_RESTART | static_cast<int>(SA_RESETHAND);
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  struct sigaction cut{};
  cut.sa_sigaction = file_cut_short;
  cut.sa_flags = SA_SIGINFO;
  ::sigemptyset(&cut.sa_mask);
  ::sigaction(SIGBUS, &cut, nullptr);
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
