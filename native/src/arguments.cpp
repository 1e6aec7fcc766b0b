#include "edgetrain/arguments.h"

#include <getopt.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>

namespace edgetrain {
namespace {

constexpr unsigned kTrain = 1, kEvaluate = 2, kPredict = 4, kBench = 8, kInfo = 16;
constexpr unsigned kSteps = kTrain | kBench, kRaw = kTrain | kEvaluate | kPredict, kData = kRaw | kBench;
constexpr uint64_t kMostSteps = 1'000'000'000, kMostThreads = 1024;

struct Command {
  const char* name;
  unsigned bit;
  const char* usage;
  const char* what;
};
constexpr Command kCommands[] = {
    {"train", kTrain, "train PROGRAM.pte --data FILE -o TUNED.ptd", "fine-tune a program on packed samples"},
    {"evaluate", kEvaluate, "evaluate PROGRAM.pte --data FILE", "loss and accuracy of its weights"},
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
    return bad_usage("must be a whole number of at least " + std::to_string(least) +
                     (most < UINT64_MAX ? " and at most " + std::to_string(most) : "") + ", not '" + text +
                     "'");
  }
  return uint64_t{value};
}

/// A number in [least, most], or in (least, most) where `open`.
Result<double> real(const char* text, double least, double most, bool open = false) {
  char* end = nullptr;
  const double value = std::strtod(text, &end);
  const bool inside = open ? value > least && value < most : value >= least && value <= most;
  if (end == text || *end != '\0' || !std::isfinite(value) || !inside) {
    return bad_usage(std::string("is out of range or no number: '") + text + "'");
  }
  return value;
}

Result<std::vector<float>> reals(const char* text) {
  std::vector<float> values;
  std::string rest = text;
  while (true) {
    const size_t comma = rest.find(',');
    EDGETRAIN_TAKE(const double value, real(rest.substr(0, comma).c_str(), -1e30, 1e30));
    values.push_back(static_cast<float>(value));
    if (comma == std::string::npos) return values;
    rest.erase(0, comma + 1);
  }
}

Result<std::string> one_of(const char* text, std::initializer_list<const char*> names) {
  std::string list;
  for (const char* name : names) {
    if (std::strcmp(name, text) == 0) return std::string(text);
    list += (list.empty() ? "" : ", ") + std::string(name);
  }
  return bad_usage(std::string("must be one of ") + list + ", not '" + text + "'");
}

template <typename T, typename U>
Status set(T& target, Result<U> value) {
  if (!value.ok()) return value.failure();
  target = *value;
  return {};
}

Preprocessing& preprocessing(Arguments& a) {
  if (!a.preprocessing) a.preprocessing.emplace();
  return *a.preprocessing;
}

Status add_group(Arguments& a, const std::string& text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string::npos || equals == 0) return bad_usage("must be PATTERN=LR, not '" + text + "'");
  EDGETRAIN_TAKE(const double lr, real(text.c_str() + equals + 1, 0, 1e30));
  a.train.optimizer.groups.emplace_back(text.substr(0, equals), lr);
  return {};
}

struct Option {
  const char* name;
  char letter;
  const char* value;  // its name in the help; null: a switch
  unsigned commands;
  const char* help;
  Status (*apply)(Arguments&, const char*);
};

const double kMost = 3e38;  // about the largest float32
const Option kOptions[] = {
    {"weights", 'w', "FILE", kData | kInfo, "a .ptd to use instead of the one exported with the program",
     [](Arguments& a, const char* v) { return a.weights = v, Status(); }},
    {"data", 'd', "FILE", kData, "packed .ptd or CIFAR-10 .bin; may be repeated",
     [](Arguments& a, const char* v) { return a.data.emplace_back(v), Status(); }},
    {"validation", 0, "FILE", kTrain, "samples to validate on; may be repeated",
     [](Arguments& a, const char* v) { return a.validation.emplace_back(v), Status(); }},
    {"output", 'o', "FILE", kTrain, "where the tuned weights go; replaced atomically",
     [](Arguments& a, const char* v) { return a.train.output = v, Status(); }},
    {"epochs", 'e', "N", kTrain, "passes over the data (5)",
     [](Arguments& a, const char* v) { return set(a.train.epochs, whole(v, 1, kMostSteps)); }},
    {"max-steps", 0, "N", kTrain, "stop after this many steps",
     [](Arguments& a, const char* v) { return set(a.train.max_steps, whole(v, 1)); }},
    {"batch-size", 'b', "N", kData, "samples per step (32, or the most the program takes; bench needs it)",
     [](Arguments& a, const char* v) { return set(a.batch_size, whole(v, 1)); }},
    {"optimizer", 0, "NAME", kSteps, "sgd, adam or adamw (sgd)",
     [](Arguments& a, const char* v) {
       return set(a.train.optimizer.name, one_of(v, {"sgd", "adam", "adamw"}));
     }},
    {"lr", 0, "X", kSteps, "learning rate, the peak where a schedule varies it (0.01)",
     [](Arguments& a, const char* v) { return set(a.train.optimizer.lr, real(v, 0, kMost, true)); }},
    {"group", 0, "PATTERN=LR", kSteps,
     "parameters with a learning rate of their own, as in 'head.*=0.1'; may be repeated",
     [](Arguments& a, const char* v) { return add_group(a, v); }},
    {"accumulate", 0, "N", kTrain, "batches whose gradients make one step (1)",
     [](Arguments& a, const char* v) { return set(a.train.accumulate, whole(v, 1, kMostSteps)); }},
    {"momentum", 0, "X", kSteps, "momentum of sgd (0.9)",
     [](Arguments& a, const char* v) { return set(a.train.optimizer.momentum, real(v, 0, 0.9999999)); }},
    {"dampening", 0, "X", kSteps, "dampening of the momentum (0)",
     [](Arguments& a, const char* v) { return set(a.train.optimizer.dampening, real(v, 0, 1)); }},
    {"nesterov", 0, nullptr, kSteps, "Nesterov momentum",
     [](Arguments& a, const char*) { return a.train.optimizer.nesterov = true, Status(); }},
    {"weight-decay", 0, "X", kSteps, "weight decay (0)",
     [](Arguments& a, const char* v) { return set(a.train.optimizer.weight_decay, real(v, 0, kMost)); }},
    {"beta1", 0, "X", kSteps, "decay of the first moment, adam and adamw (0.9)",
     [](Arguments& a, const char* v) { return set(a.train.optimizer.beta1, real(v, 0, 0.9999999)); }},
    {"beta2", 0, "X", kSteps, "decay of the second moment (0.999)",
     [](Arguments& a, const char* v) { return set(a.train.optimizer.beta2, real(v, 0, 0.99999999)); }},
    {"eps", 0, "X", kSteps, "added to the denominator (1e-8)",
     [](Arguments& a, const char* v) { return set(a.train.optimizer.eps, real(v, 0, kMost, true)); }},
    {"clip-norm", 0, "X", kSteps, "largest norm of all gradients together (no limit)",
     [](Arguments& a, const char* v) { return set(a.train.optimizer.clip_norm, real(v, 0, kMost, true)); }},
    {"schedule", 0, "NAME", kTrain, "constant, step or cosine (constant)",
     [](Arguments& a, const char* v) {
       return set(a.train.schedule.name, one_of(v, {"constant", "step", "cosine"}));
     }},
    {"warmup-steps", 0, "N", kTrain, "steps over which the learning rate rises (0)",
     [](Arguments& a, const char* v) { return set(a.train.schedule.warmup_steps, whole(v, 0)); }},
    {"step-epochs", 0, "N", kTrain, "epochs between two drops of schedule step (1)",
     [](Arguments& a, const char* v) { return set(a.train.schedule.step_epochs, whole(v, 1)); }},
    {"gamma", 0, "X", kTrain, "factor of each drop (0.1)",
     [](Arguments& a, const char* v) { return set(a.train.schedule.gamma, real(v, 0, 1)); }},
    {"final-ratio", 0, "X", kTrain, "last learning rate of schedule cosine as a share of the peak (0)",
     [](Arguments& a, const char* v) { return set(a.train.schedule.final_ratio, real(v, 0, 1)); }},
    {"seed", 's', "N", kSteps, "seed of order and dropout (0)",
     [](Arguments& a, const char* v) { return set(a.train.seed, whole(v, 0)); }},
    {"no-shuffle", 0, nullptr, kTrain, "visit the samples in the order of the file",
     [](Arguments& a, const char*) { return a.shuffle = false, Status(); }},
    {"flip", 0, nullptr, kTrain, "mirror half of the images at random",
     [](Arguments& a, const char*) { return a.augmentation.flip = true, Status(); }},
    {"crop-padding", 0, "N", kTrain, "move images at random by up to this many pixels (0)",
     [](Arguments& a, const char* v) { return set(a.augmentation.crop_padding, whole(v, 0, 4096)); }},
    {"eval-every", 0, "N", kTrain, "validate every so many epochs; 0: first and last only (1)",
     [](Arguments& a, const char* v) { return set(a.train.eval_every, whole(v, 0)); }},
    {"save-every", 0, "N", kTrain, "also save every so many steps",
     [](Arguments& a, const char* v) { return set(a.train.save_every, whole(v, 0)); }},
    {"resume", 0, nullptr, kTrain, "go on from OUTPUT's .state",
     [](Arguments& a, const char*) { return a.resume = true, Status(); }},
    {"log-steps", 0, nullptr, kTrain, "a JSON line per step",
     [](Arguments& a, const char*) { return a.train.log_steps = true, Status(); }},
    {"gradients", 0, "FILE", kBench, "write those of the first step by parameter name, as a .ptd",
     [](Arguments& a, const char* v) { return a.gradients = v, Status(); }},
    {"profile", 0, "FILE", kData, "write an etdump of the first batches and print the operators' times",
     [](Arguments& a, const char* v) { return a.profile = v, Status(); }},
    {"profile-batches", 0, "N", kData,
     "batches that --profile records, of training in train and bench (20); memory grows with them",
     [](Arguments& a, const char* v) { return set(a.profile_batches, whole(v, 1)); }},
    {"threads", 't', "N", kData, "CPU threads, at most 1024",
     [](Arguments& a, const char* v) { return set(a.threads, whole(v, 1, kMostThreads)); }},
    {"scale", 0, "X", kRaw,
     "factor of stored values; with --mean and --std only for programs without a manifest",
     [](Arguments& a, const char* v) { return set(preprocessing(a).scale, real(v, -kMost, kMost)); }},
    {"mean", 0, "X,..", kRaw, "mean per channel, subtracted after scaling",
     [](Arguments& a, const char* v) { return set(preprocessing(a).mean, reals(v)); }},
    {"std", 0, "X,..", kRaw, "standard deviation per channel",
     [](Arguments& a, const char* v) { return set(preprocessing(a).std, reals(v)); }},
    {"help", 'h', nullptr, kData | kInfo, "show this",
     [](Arguments& a, const char*) { return a.help = true, Status(); }},
};

Status check(const Arguments& a, unsigned command) {
  const auto& o = a.train.optimizer;
  if (o.nesterov && (o.name != "sgd" || o.momentum == 0 || o.dampening != 0)) {
    return bad_usage("--nesterov needs sgd with a momentum greater than 0 and a dampening of 0");
  }
  if (a.preprocessing) {
    const auto& p = *a.preprocessing;
    const bool positive = std::all_of(p.std.begin(), p.std.end(), [](float x) { return x > 0; });
    if (p.mean.size() != p.std.size() || !positive) {
      return bad_usage("--mean and --std need one number per channel each, those of --std greater than 0");
    }
  }
  if (a.program.empty()) return bad_usage("name a file; try --help");
  if ((command & kData) != 0 && a.data.empty()) return bad_usage("name the samples with --data; try --help");
  if (command == kTrain && a.train.output.empty()) return bad_usage("say with -o where the tuned weights go");
  if (command == kBench && !a.batch_size)
    return bad_usage("say with --batch-size how many samples a step has");
  return {};
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
  if (command == nullptr) return bad_usage("there is no command '" + first + "'; try --help");
  arguments.command = first;
  arguments.preprocessed = command->bit == kBench;

  std::vector<option> longs;
  std::string shorts = ":";
  for (size_t i = 0; i < std::size(kOptions); ++i) {
    const Option& known = kOptions[i];
    longs.push_back(
        {known.name, known.value ? required_argument : no_argument, nullptr, static_cast<int>(1000 + i)});
    if (known.letter) shorts += known.value ? std::string{known.letter, ':'} : std::string{known.letter};
  }
  longs.push_back({nullptr, 0, nullptr, 0});
  optind = 2;
  opterr = 0;
  int found = 0;
  while ((found = getopt_long(argc, argv, shorts.c_str(), longs.data(), nullptr)) != -1) {
    const std::string given = argv[optind - 1];
    if (found == ':') return bad_usage(given + " needs a value");
    const Option* chosen = nullptr;
    for (size_t i = 0; i < std::size(kOptions); ++i) {
      if (found == static_cast<int>(1000 + i) || found == kOptions[i].letter) chosen = &kOptions[i];
    }
    if (found == '?' || chosen == nullptr) return bad_usage("there is no flag " + given + "; try --help");
    if ((chosen->commands & command->bit) == 0) {
      return bad_usage("--" + std::string(chosen->name) + " is no flag of " + first);
    }
    if (auto status = chosen->apply(arguments, optarg); !status.ok()) {
      return bad_usage("--" + std::string(chosen->name) + " " + status.failure().message);
    }
  }
  if (optind < argc) arguments.program = argv[optind++];
  if (arguments.help) return arguments;
  if (optind < argc) return bad_usage(std::string("one file too many: ") + argv[optind]);
  EDGETRAIN_CHECK(check(arguments, command->bit));
  return arguments;
}

Result<uint64_t> parse_steps(const std::string& line) {
  auto steps = whole(line.c_str(), 0, kMostSteps);
  if (!steps.ok()) return bad_usage("a line of stdin " + steps.failure().message);
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
    std::string flag = known.letter ? std::string("  -") + known.letter + ", --" : "      --";
    flag += std::string(known.name) + (known.value ? std::string(" ") + known.value : "");
    text += flag + std::string(flag.size() < 26 ? 26 - flag.size() : 1, ' ') + known.help + "\n";
  }
  return text;
}

}  // namespace edgetrain
