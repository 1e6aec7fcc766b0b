// Changes files that the runner reads, and reads them, until its time is over.
//
//   fuzz SEEDS WORK SECONDS SEED     of the files in the folder SEEDS, in the folder WORK
//   fuzz SEEDS WORK FILE             one file as it is, in place of the seed of its name
//
// Each input is read by a process of its own. What ends one otherwise than by returning is kept in WORK, by
// names that tell the input's number. The last line counts.

#include <dirent.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "edgetrain/manifest.h"
#include "edgetrain/mapped_file.h"
#include "edgetrain/runtime_log.h"
#include "inputs.h"
#include "mutations.h"

namespace {

enum Ending { kTaken = 0, kRefused = 10 };
constexpr unsigned kMostSeconds = 30;

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> names;
  if (DIR* open = opendir(folder.c_str())) {
    while (const dirent* entry = readdir(open)) {
      if (entry->d_name[0] != '.') names.push_back(entry->d_name);
    }
    closedir(open);
  }
  std::sort(names.begin(), names.end());
  return names;
}

void write_plainly(const std::string& path, const std::string& bytes) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  if (file == nullptr || std::fwrite(bytes.data(), 1, bytes.size(), file) != bytes.size() ||
      std::fclose(file) != 0) {
    std::perror(path.c_str());
    std::exit(2);
  }
}

std::string read_plainly(const std::string& path) {
  auto text = edgetrain::read_text(path);
  if (!text.ok()) {
    std::fprintf(stderr, "%s\n", text.failure().message.c_str());
    std::exit(2);
  }
  return std::move(*text);
}

/// How a process ends that takes the file; what it says goes to `report`.
int ending_of(const std::string& path, const std::string& report) {
  const pid_t child = fork();
  if (child == 0) {
    const int out = open(report.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    dup2(out, 1), dup2(out, 2);
    alarm(kMostSeconds);
    edgetrain::keep_runtime_log([](const char*) { _exit(kRefused); });
    _exit(fuzz::take(path) ? kTaken : kRefused);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

struct Run {
  std::string seeds, work;
  std::vector<std::string> names;
  long counts[3] = {};  // taken, refused, else

  /// Takes a changed file among the others as they are.
  void take(const std::string& name, std::string bytes, bool hashed, long number) {
    const std::string path = work + "/" + name;
    if (hashed) fuzz::seal(seeds + "/" + name, path, bytes);
    write_plainly(path, bytes);
    const std::string report = work + "/report";
    const int ending = ending_of(path, report);
    ++counts[ending == kTaken ? 0 : ending == kRefused ? 1 : 2];
    if (ending != kTaken && ending != kRefused) {
      const std::string kept = work + "/" + std::to_string(number) + "-" + name;
      write_plainly(kept, bytes);
      std::rename(report.c_str(), (kept + ".report").c_str());
      std::printf("%s: %s %d\n", kept.c_str(), ending > 128 ? "signal" : "exit code",
                  ending > 128 ? ending - 128 : ending);
    }
    for (const std::string& changed : {name, edgetrain::manifest_path(name)}) {
      if (std::find(names.begin(), names.end(), changed) != names.end())
        write_plainly(work + "/" + changed, read_plainly(seeds + "/" + changed));
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: fuzz SEEDS WORK SECONDS SEED | fuzz SEEDS WORK FILE\n");
    return 2;
  }
  Run run = {argv[1], argv[2], files_in(argv[1])};
  for (const std::string& name : run.names)
    write_plainly(run.work + "/" + name, read_plainly(run.seeds + "/" + name));
  if (argc == 4) {
    const std::string name = edgetrain::file_name(argv[3]), seed = name.substr(name.find('-') + 1);
    run.take(seed, read_plainly(argv[3]), true, 0);
  } else {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(std::atol(argv[3]));
    fuzz::Random random(static_cast<uint64_t>(std::atoll(argv[4])));
    // Seeds first: what is damaged has to be good before.
    for (const std::string& name : run.names) run.take(name, read_plainly(run.seeds + "/" + name), false, 0);
    const long taken = run.counts[0];
    std::printf("{\"seeds\": %zu, \"taken\": %ld}\n", run.names.size(), taken);
    for (long number = 1; std::chrono::steady_clock::now() < end; ++number) {
      const std::string& name = run.names[fuzz::below(random, run.names.size())];
      std::string bytes = read_plainly(run.seeds + "/" + name);
      fuzz::mutate(bytes, random);
      run.take(name, std::move(bytes), fuzz::below(random, 8) != 0, number);
    }
    run.counts[0] -= taken;
  }
  std::printf("{\"taken\": %ld, \"refused\": %ld, \"ended\": %ld}\n", run.counts[0], run.counts[1],
              run.counts[2]);
  return run.counts[2] == 0 ? 0 : 1;
}
