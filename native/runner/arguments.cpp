#include "arguments.h"

#include <getopt.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <utility>
#include <vector>

namespace edgetrain {
namespace {

constexpr unsigned kTrain = 1, kEvaluate = 2, kPredict = 4, kBench = 8, kInfo = 16;
constexpr unsigned kRaw = kTrain | kEvaluate | kPredict, kData = kRaw | kBench;
constexpr uint64_t kMostSteps = 1'000'000'000;

struct Command {
  const char* name;
  unsigned bit;
  const char* usage;
  const char* what;
};
constexpr Command kCommands[] = {
    {"train", kTrain, "train (PROGRAM.pte --data FILE -o TUNED.ptd | JOB.json)",
     "fine-tune a program on packed samples. A job is what 'edgetrain finetune' hands over; flags override "
     "it"},
    {"evaluate", kEvaluate, "evaluate PROGRAM.pte --data FILE", "loss and other metrics of its weights"},
    {"predict", kPredict, "predict PROGRAM.pte --data FILE", "one line of outputs per sample"},
    {"bench", kBench, "bench PROGRAM.pte --data BATCHES.ptd --batch-size N",
     "as many training steps as each line of stdin says, timed. Samples are taken as they are, batches in\n"
     "the file's order. A step's time is that of forward, backward and optimizer; preparing its batch is\n"
     "not part of it"},
    {"info", kInfo, "info FILE", "what a program or a .ptd holds"},
};

Result<uint64_t> whole(const char* text, uint64_t least, uint64_t most = UINT64_MAX) {
  char* end = nullptr;
  errno = 0;
  const unsigned long long value = std::strtoull(text, &end, 10);
  if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < least || value > most) {
    return bad_usage({"must be a whole number of at least ", least, ", not '", text, "'"});
  }
  return uint64_t{value};
}

Result<std::vector<float>> reals(const char* text) {
  std::vector<float> values;
  while (true) {
    char* end = nullptr;
    const float value = std::strtof(text, &end);
    if (end == text || (*end != '\0' && *end != ',') || !std::isfinite(value)) {
      return bad_usage({"must be numbers with commas, not '", text, "'"});
    }
    values.push_back(value);
    if (*end == '\0') return values;
    text = end + 1;
  }
}

template <typename T, typename U>
Status put(T& target, Result<U> value) {
  if (!value.ok()) return value.failure();
  target = *value;
  return {};
}

Preprocessing& preprocessing(Arguments& a) {
  if (!a.preprocessing) a.preprocessing.emplace();
  return *a.preprocessing;
}

/// What is no setting of fine-tuning: files, and how the runner works.
struct Option {
  const char* name;
  char letter;
  const char* value;  // its name in the help; null: a switch
  unsigned commands;
  const char* help;
  Status (*apply)(Arguments&, const char*);
};

const Option kOptions[] = {
    {"weights", 'w', "FILE", kData | kInfo, "a .ptd to use instead of the one exported with the program",
     [](Arguments& a, const char* v) { return a.job.weights = v, Status(); }},
    {"data", 'd', "FILE", kData, "packed .ptd or CIFAR-10 .bin; may be repeated",
     [](Arguments& a, const char* v) { return a.job.data.emplace_back(v), Status(); }},
    {"validation", 0, "FILE", kTrain, "samples to validate on; may be repeated",
     [](Arguments& a, const char* v) { return a.job.validation.emplace_back(v), Status(); }},
    {"output", 'o', "FILE", kTrain, "where the tuned weights go; replaced atomically",
     [](Arguments& a, const char* v) { return a.job.output = v, Status(); }},
    {"resume", 0, nullptr, kTrain, "go on from OUTPUT's .state.ptd",
     [](Arguments& a, const char*) { return a.job.resume = true, Status(); }},
    {"log-steps", 0, nullptr, kTrain, "a JSON line per step",
     [](Arguments& a, const char*) { return a.job.log_steps = true, Status(); }},
    {"gradients", 0, "FILE", kBench, "write those of the first step by parameter name, as a .ptd",
     [](Arguments& a, const char* v) { return a.gradients = v, Status(); }},
    {"profile", 0, "FILE", kData, "write an etdump of the first batches and print the operators' times",
     [](Arguments& a, const char* v) { return a.profile = v, Status(); }},
    {"profile-batches", 0, "N", kData,
     "batches that --profile records, of training in train and bench (20); memory grows with them",
     [](Arguments& a, const char* v) { return put(a.profile_batches, whole(v, 1)); }},
    {"scale", 0, "X", kRaw,
     "factor of stored values; with --mean and --std only for programs without a manifest",
     [](Arguments& a, const char* v) -> Status {
       EDGETRAIN_TAKE(const auto values, reals(v));
       preprocessing(a).scale = values[0];
       return values.size() == 1 ? Status() : Status(bad_usage("must be one number"));
     }},
    {"mean", 0, "X,..", kRaw, "mean per channel, subtracted after scaling",
     [](Arguments& a, const char* v) { return put(preprocessing(a).mean, reals(v)); }},
    {"std", 0, "X,..", kRaw, "standard deviation per channel",
     [](Arguments& a, const char* v) { return put(preprocessing(a).std, reals(v)); }},
    {"help", 'h', nullptr, kData | kInfo, "show this",
     [](Arguments& a, const char*) { return a.help = true, Status(); }},
};

/// Settings of fine-tuning that the other commands know as well.
unsigned commands_of(const Setting& setting) {
  const std::string section = setting.section, key = setting.key;
  if (section == "optimizer") return kTrain | kBench;
  if (section != "finetune") return kTrain;
  if (key == "batch_size" || key == "threads") return kData;
  return key == "seed" ? kTrain | kBench : kTrain;
}

char letter_of(const Setting& setting) {
  for (const char* known : {"epochs", "batch-size", "seed", "threads"}) {
    if (std::strcmp(setting.flag, known) == 0) return known[0];
  }
  return 0;
}

/// All flags in the form that getopt_long wants. An option's number is its place: those of kOptions first,
/// then two for each setting, the second of which turns a switch off.
class Flags {
 public:
  Flags() {
    int number = kFirst;
    for (const auto& known : kOptions) add(known.name, known.letter, known.value != nullptr, number++);
    for (const auto& setting : all_settings()) {
      const bool takes = setting.kind != Setting::kSwitch;
      add(setting.flag, letter_of(setting), takes, number++);
      if (!takes) add(negated_.emplace_back("no-" + std::string(setting.flag)).c_str(), 0, false, number);
      ++number;
    }
    longs_.push_back({nullptr, 0, nullptr, 0});
  }

  /// The flag that comes next among the arguments, or -1; its place is `found - kFirst`.
  int next(int argc, char** argv) const {
    const int found = getopt_long(argc, argv, shorts_.c_str(), longs_.data(), nullptr);
    for (size_t i = 0; found > 0 && i < letters_.size(); ++i) {
      if (letters_[i].first == found) return letters_[i].second;
    }
    return found;
  }

  static constexpr int kFirst = 1000;

 private:
  void add(const char* name, char letter, bool takes, int number) {
    longs_.push_back({name, takes ? required_argument : no_argument, nullptr, number});
    if (letter == 0) return;
    letters_.emplace_back(letter, number);
    shorts_ += takes ? std::string{letter, ':'} : std::string{letter};
  }

  std::deque<std::string> negated_;
  std::vector<option> longs_;
  std::vector<std::pair<char, int>> letters_;
  std::string shorts_ = ":";
};

/// A flag with its value, in the order of the command line.
struct Given {
  size_t place;
  const char* value;
};

Status apply(Arguments& arguments, const Command& command, const Given& given) {
  const auto named = [](const std::string& name, const Status& status) {
    return status.ok() ? Status() : Status(bad_usage({"--", name, " ", status.failure().message}));
  };
  const auto known = [&command](const std::string& name, unsigned commands) {
    if ((commands & command.bit) != 0) return Status();
    return Status(bad_usage({"--", name, " is no flag of ", command.name}));
  };
  if (given.place < std::size(kOptions)) {
    const Option& option = kOptions[given.place];
    EDGETRAIN_CHECK(known(option.name, option.commands));
    return named(option.name, option.apply(arguments, given.value));
  }
  const size_t place = given.place - std::size(kOptions);
  const Setting& setting = all_settings()[place / 2];
  EDGETRAIN_CHECK(known(setting.flag, commands_of(setting)));
  const char* value = setting.kind != Setting::kSwitch ? given.value : place % 2 == 0 ? "true" : "false";
  return named(setting.flag, arguments.job.settings.set(setting, value));
}

Status check(const Arguments& a, unsigned command) {
  if (command & (kTrain | kBench)) EDGETRAIN_CHECK(a.job.settings.check());
  if (a.preprocessing) {
    const auto& p = *a.preprocessing;
    const bool positive = std::all_of(p.std.begin(), p.std.end(), [](float x) { return x > 0; });
    if (p.mean.size() != p.std.size() || !positive) {
      return bad_usage("--mean and --std need one number per channel each, those of --std greater than 0");
    }
  }
  if (a.job.program.empty()) return bad_usage("name a file; try --help");
  if ((command & kData) != 0 && a.job.data.empty())
    return bad_usage("name the samples with --data; try --help");
  if (command == kTrain && a.job.output.empty()) return bad_usage("say with -o where the tuned weights go");
  if (command == kBench && !a.job.settings.has("finetune", "batch_size"))
    return bad_usage("say with --batch-size how many samples a step has");
  return {};
}

bool is_job(const std::string& path) {
  return path.size() > 5 && path.compare(path.size() - 5, 5, ".json") == 0;
}

std::string help_line(const std::string& flag, const std::string& help) {
  return flag + std::string(flag.size() < 26 ? 26 - flag.size() : 1, ' ') + help + "\n";
}

std::string help_line(const Setting& setting) {
  constexpr const char* kValues[] = {" N", " X", " NAME", "", " PATTERN=LR"};
  const char letter = letter_of(setting);
  std::string help = setting.help;
  if (setting.kind == Setting::kText) {
    std::string choices = setting.choices;
    for (size_t at = 0; (at = choices.find('|', at)) != std::string::npos;) choices.replace(at, 1, ", ");
    if (!choices.empty()) help += " [" + choices + "]";
  }
  if (setting.kind == Setting::kRates) help += "; may be repeated";
  if (*setting.default_text != '\0') help += " (" + std::string(setting.default_text) + ")";
  const std::string start = letter ? std::string("  -") + letter + ", --" : "      --";
  return help_line(
      start + (setting.kind == Setting::kSwitch ? "[no-]" : "") + setting.flag + kValues[setting.kind], help);
}

}  // namespace

Result<Arguments> parse_arguments(int argc, char** argv) {
  Arguments arguments;
  const std::string first = argc > 1 ? argv[1] : "--help";
  if (first == "--help" || first == "-h") {
    arguments.help = true;
    return arguments;
  }
  const Command* command = nullptr;
  for (const Command& known : kCommands) {
    if (first == known.name) command = &known;
  }
  if (command == nullptr) return bad_usage({"there is no command '", first, "'; try --help"});
  arguments.command = first;

  const Flags flags;
  std::vector<Given> given;
  optind = 2;
  opterr = 0;
  for (int found = 0; (found = flags.next(argc, argv)) != -1;) {
    const std::string text = argv[optind - 1];
    if (found == ':') return bad_usage({text, " needs a value"});
    if (found < Flags::kFirst) return bad_usage({"there is no flag ", text, "; try --help"});
    given.push_back({static_cast<size_t>(found - Flags::kFirst), optarg});
  }
  const std::string file = optind < argc ? argv[optind++] : "";
  if (optind < argc) return bad_usage({"one file too many: ", argv[optind]});
  Job job;
  if (command->bit == kTrain && is_job(file)) {
    EDGETRAIN_TAKE(job, load_job(file));
  } else {
    job.program = file;
  }
  // What flags name takes the place of what the job names, not one beside it.
  const auto data = std::exchange(job.data, {}), validation = std::exchange(job.validation, {});
  arguments.job = std::move(job);
  for (const Given& flag : given) EDGETRAIN_CHECK(apply(arguments, *command, flag));
  if (arguments.job.data.empty()) arguments.job.data = data;
  if (arguments.job.validation.empty()) arguments.job.validation = validation;
  if (arguments.help) return arguments;
  EDGETRAIN_CHECK(check(arguments, command->bit));
  return arguments;
}

Result<uint64_t> parse_steps(const std::string& line) {
  auto steps = whole(line.c_str(), 0, kMostSteps);
  if (!steps.ok()) return bad_usage({"a line of stdin ", steps.failure().message});
  return steps;
}

std::string help_text(const std::string& command) {
  std::string text;
  unsigned bit = 0;
  for (const Command& known : kCommands) {
    if (command.empty() || command == known.name) {
      text += std::string(text.empty() ? "usage: " : "       ") + "edgetrain-runner " + known.usage + "\n";
      if (!command.empty()) text += std::string("\n") + known.what + "\n";
      bit = known.bit;
    }
  }
  if (command.empty()) {
    text += "\nFine-tunes ExecuTorch training programs. JSON lines go to stdout, messages to stderr.\n\n";
    for (const Command& known : kCommands)
      text +=
          std::string("  ") + known.name + std::string(10 - std::strlen(known.name), ' ') + known.what + "\n";
    return text +
           "\nedgetrain-runner COMMAND --help lists its flags.\n"
           "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 bad input, 4 not finite, 130 interrupted.\n";
  }
  text += "\n";
  for (const Option& known : kOptions) {
    if ((known.commands & bit) == 0) continue;
    const std::string flag = known.letter ? std::string("  -") + known.letter + ", --" : "      --";
    text += help_line(flag + known.name + (known.value ? std::string(" ") + known.value : ""), known.help);
  }
  for (const auto& setting : all_settings()) {
    if ((commands_of(setting) & bit) != 0) text += help_line(setting);
  }
  return text;
}

}  // namespace edgetrain
