#include <charconv>

#include "commands.h"
#include "edgetrain/platform.h"
#include "outputs.h"
#include "samples.h"

namespace edgetrain {
namespace {

std::string exact(double value) {
  char text[40];
  return {text, std::to_chars(text, text + sizeof(text), value).ptr};
}

std::string exact(const std::vector<float>& values) {
  std::string text;
  for (const float value : values) text += (text.empty() ? "" : ",") + exact(value);
  return text;
}

/// What a run must have in common with the one it goes on with.
std::vector<std::pair<std::string, std::string>> identity(const Arguments& a, const Program& program,
                                                          const Samples& samples, size_t batch_size) {
  const auto& o = a.train.optimizer;
  const auto& s = a.train.schedule;
  const auto& p = samples.loader->preprocessing();
  const auto hash = [](const MappedFile& file) { return hex(sha256(file.data(), file.size())); };
  std::vector<std::pair<std::string, std::string>> all = {
      {"the program", hash(program.files().program)},
      {"the weights it started from", program.files().weights ? hash(program.files().weights->file()) : ""},
      {"the data", samples.dataset->fingerprint()},
      {"--scale", exact(p.scale)},
      {"--mean", exact(p.mean)},
      {"--std", exact(p.std)},
      {"--batch-size", std::to_string(batch_size)},
      {"--seed", std::to_string(a.train.seed)},
      {"--no-shuffle", a.shuffle ? "off" : "on"},
      {"--flip", a.augmentation.flip ? "on" : "off"},
      {"--crop-padding", std::to_string(a.augmentation.crop_padding)},
      {"--optimizer", o.name},
      {"--lr", exact(o.lr)},
      {"--weight-decay", exact(o.weight_decay)},
      {"--clip-norm", exact(o.clip_norm)},
      {"--schedule", s.name},
      {"--warmup-steps", std::to_string(s.warmup_steps)},
  };
  std::string groups;
  for (const auto& [pattern, lr] : o.groups) groups += pattern + "=" + exact(lr) + " ";
  all.emplace_back("--group", groups);
  all.emplace_back("--accumulate", std::to_string(a.train.accumulate));
  if (o.name == "sgd") {
    all.insert(all.end(), {{"--momentum", exact(o.momentum)},
                           {"--dampening", exact(o.dampening)},
                           {"--nesterov", o.nesterov ? "on" : "off"}});
  } else {
    all.insert(all.end(),
               {{"--beta1", exact(o.beta1)}, {"--beta2", exact(o.beta2)}, {"--eps", exact(o.eps)}});
  }
  if (s.name == "step") {
    all.insert(all.end(), {{"--step-epochs", std::to_string(s.step_epochs)}, {"--gamma", exact(s.gamma)}});
  }
  if (s.name == "cosine") all.emplace_back("--final-ratio", exact(s.final_ratio));
  return all;
}

Status check_suffix(const Arguments& arguments, const Program& program) {
  const std::string& output = arguments.train.output;
  const bool external = program.files().weights.has_value();
  const std::string suffix = external ? ".ptd" : ".pte";
  if (output.size() < 5 || output.compare(output.size() - 4, 4, suffix) != 0) {
    return bad_usage(arguments.program + " keeps its weights " + (external ? "outside" : "inside") +
                     "; name an output that ends in " + suffix);
  }
  return {};
}

}  // namespace

Status run_train(Arguments& arguments) {
  EDGETRAIN_TAKE(const auto program, open_program(arguments));
  EDGETRAIN_CHECK(check_suffix(arguments, *program));
  EDGETRAIN_CHECK(check_outputs(arguments, *program));
  EDGETRAIN_TAKE(const size_t batch_size, choose_batch_size(arguments, *program));
  EDGETRAIN_TAKE(const Samples training,
                 open_samples(arguments, *program, arguments.data, batch_size, arguments.shuffle));
  EDGETRAIN_CHECK(training.loader->augment(arguments.augmentation));
  Samples validation;
  if (!arguments.validation.empty()) {
    EDGETRAIN_TAKE(validation,
                   open_samples(arguments, *program, arguments.validation, program->max_batch_size(), false));
  }
  EDGETRAIN_CHECK(check_groups(arguments.train.optimizer, program->parameters()));
  arguments.train.identity = identity(arguments, *program, training, batch_size);
  Trainer trainer(*program, *training.loader, validation.loader.get(), arguments.train);
  if (arguments.resume) EDGETRAIN_CHECK(trainer.resume());
  const Status trained = trainer.run();
  const Status profiled = write_profile(arguments, *program);
  EDGETRAIN_CHECK(trained);
  EDGETRAIN_CHECK(profiled);
  return JsonLine("result")
      .add("runtime", "native")
      .add("output", arguments.train.output)
      .add("state", state_path(arguments.train.output))
      .add("steps", trainer.steps())
      .add("val_loss", trainer.last().val_loss)
      .add("val_accuracy", trainer.last().val_accuracy)
      .add("threads", uint64_t{thread_count()})
      .add("seed", arguments.train.seed)
      .add("peak_rss_bytes", peak_rss_bytes())
      .print();
}

}  // namespace edgetrain
