#include "commands.h"

#include <fnmatch.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <memory>

#include "edgetrain/atomic_file.h"
#include "edgetrain/json.h"
#include "edgetrain/platform.h"

namespace edgetrain {
namespace {

constexpr size_t kUsualBatch = 32;

Result<std::unique_ptr<Program>> open_program(const Arguments& arguments) {
  EDGETRAIN_TAKE(ProgramFiles files, ProgramFiles::open(arguments.program, arguments.weights));
  if (arguments.threads) EDGETRAIN_CHECK(set_threads(static_cast<uint32_t>(*arguments.threads)));
  return Program::load(std::move(files));
}

Result<Preprocessing> choose_preprocessing(const Arguments& arguments, const Program& program,
                                           const Dataset& dataset) {
  if (program.manifest() && arguments.preprocessing) {
    return bad_usage("the program's manifest knows its preprocessing; leave --scale, --mean and --std out");
  }
  Preprocessing chosen;
  if (program.manifest()) {
    chosen = program.manifest()->preprocessing;
  } else if (arguments.preprocessing) {
    chosen = *arguments.preprocessing;
  }
  const auto& shape = dataset.sample_shape();
  const size_t channels = chosen.mean.size();
  if (channels > 1 && (shape.empty() || static_cast<size_t>(shape[0]) != channels)) {
    return bad_usage("mean and std are given for " + std::to_string(channels) +
                     " channels, the samples have other ones");
  }
  return chosen;
}

Result<size_t> choose_batch_size(const Arguments& arguments, const Program& program) {
  const size_t most = program.max_batch_size();
  if (program.fixed_batch_size()) {
    if (arguments.batch_size && *arguments.batch_size != most) {
      return bad_usage("the program takes batches of " + std::to_string(most) + " samples only");
    }
    return most;
  }
  if (arguments.batch_size && *arguments.batch_size > most) {
    return bad_usage("the program takes batches of up to " + std::to_string(most) + ", not " +
                     std::to_string(*arguments.batch_size) + "; use --batch-size " + std::to_string(most) +
                     " or export it for larger ones");
  }
  return arguments.batch_size ? static_cast<size_t>(*arguments.batch_size) : std::min(kUsualBatch, most);
}

/// A data set with the loader that cuts it.
struct Samples {
  std::unique_ptr<Dataset> dataset;
  std::unique_ptr<BatchLoader> loader;
};

Result<Samples> open_samples(const Arguments& arguments, const Program& program,
                             const std::vector<std::string>& paths, size_t batch_size, bool shuffle) {
  EDGETRAIN_TAKE(Dataset opened, Dataset::open(paths));
  Samples samples{std::make_unique<Dataset>(std::move(opened)), nullptr};
  EDGETRAIN_CHECK(
      samples.dataset->check_fits(program, program.manifest() ? program.manifest()->classes.size() : 0));
  EDGETRAIN_TAKE(auto preprocessing, choose_preprocessing(arguments, program, *samples.dataset));
  const bool fixed = program.fixed_batch_size();
  if (fixed && samples.dataset->size() % batch_size != 0) {
    std::fprintf(
        stderr,
        "note: the program takes whole batches of %zu only; the last %zu samples of %s are left out\n",
        batch_size, samples.dataset->size() % batch_size, paths[0].c_str());
  }
  samples.loader = std::make_unique<BatchLoader>(*samples.dataset, program, std::move(preprocessing),
                                                 batch_size, shuffle, arguments.train.seed, fixed);
  if (samples.loader->count() == 0) return bad_input(paths[0] + " has fewer samples than one batch");
  return samples;
}

std::string exact(double value) {
  char text[40];
  std::snprintf(text, sizeof(text), "%.17g", value);
  return text;
}

/// What a run must have in common with the one it goes on with.
std::vector<std::pair<std::string, std::string>> identity(const Arguments& a, const Program& program,
                                                          const Dataset& dataset, size_t batch_size) {
  const auto& o = a.train.optimizer;
  const auto& s = a.train.schedule;
  const auto hash = [](const MappedFile& file) { return hex(sha256(file.data(), file.size())); };
  std::vector<std::pair<std::string, std::string>> all = {
      {"the program", hash(program.files().program)},
      {"the weights it started from", program.files().weights ? hash(program.files().weights->file()) : ""},
      {"the data", dataset.fingerprint()},
      {"--batch-size", std::to_string(batch_size)},
      {"--seed", std::to_string(a.train.seed)},
      {"--no-shuffle", a.shuffle ? "off" : "on"},
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

Status check_output(const Arguments& arguments, const Program& program) {
  const std::string& output = arguments.train.output;
  const bool external = program.files().weights.has_value();
  const std::string suffix = external ? ".ptd" : ".pte";
  if (output.size() < 5 || output.compare(output.size() - 4, 4, suffix) != 0) {
    return bad_usage(arguments.program + " keeps its weights " + (external ? "outside" : "inside") +
                     "; name an output that ends in " + suffix);
  }
  std::vector<std::string> inputs = arguments.data;
  inputs.insert(inputs.end(), arguments.validation.begin(), arguments.validation.end());
  inputs.push_back(arguments.program);
  if (external) inputs.push_back(program.files().weights->file().path());
  for (const auto& input : inputs) {
    if (same_file(input, output)) return bad_usage(output + " is an input; name another output");
  }
  EDGETRAIN_CHECK(check_writable(output));
  return check_writable(state_path(output));
}

/// A pattern that fits nothing is a slip of the keyboard, and would train with the wrong learning rate.
Status check_groups(const Arguments& arguments, const Program& program) {
  const auto& parameters = program.parameters();
  for (const auto& [pattern, lr] : arguments.train.optimizer.groups) {
    const bool fits =
        std::any_of(parameters.begin(), parameters.end(), [&pattern = pattern](const Parameter& p) {
          return ::fnmatch(pattern.c_str(), p.name.c_str(), 0) == 0;
        });
    if (!fits) return bad_usage("--group " + pattern + " fits no trainable parameter; info lists them");
  }
  return {};
}

Status train(Arguments& arguments) {
  EDGETRAIN_TAKE(const auto program, open_program(arguments));
  EDGETRAIN_CHECK(check_output(arguments, *program));
  EDGETRAIN_TAKE(const size_t batch_size, choose_batch_size(arguments, *program));
  EDGETRAIN_TAKE(const Samples training,
                 open_samples(arguments, *program, arguments.data, batch_size, arguments.shuffle));
  Samples validation;
  if (!arguments.validation.empty()) {
    EDGETRAIN_TAKE(validation,
                   open_samples(arguments, *program, arguments.validation, program->max_batch_size(), false));
  }
  EDGETRAIN_CHECK(check_groups(arguments, *program));
  arguments.train.identity = identity(arguments, *program, *training.dataset, batch_size);
  Trainer trainer(*program, *training.loader, validation.loader.get(), arguments.train);
  if (arguments.resume) EDGETRAIN_CHECK(trainer.resume());
  EDGETRAIN_CHECK(trainer.run());
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

Status evaluate(Arguments& arguments) {
  EDGETRAIN_TAKE(const auto program, open_program(arguments));
  // Without --batch-size in the largest batches, as validation is.
  size_t batch_size = program->max_batch_size();
  if (arguments.batch_size) {
    EDGETRAIN_TAKE(batch_size, choose_batch_size(arguments, *program));
  }
  EDGETRAIN_TAKE(const Samples samples, open_samples(arguments, *program, arguments.data, batch_size, false));
  EDGETRAIN_TAKE(const Meter meter,
                 evaluate(*program, *samples.loader, program->manifest() ? program->manifest()->loss : ""));
  if (!std::isfinite(meter.loss())) return check_failed("the loss is not finite");
  return JsonLine("result")
      .add("loss", meter.loss())
      .add("accuracy", meter.accuracy())
      .add("samples", meter.samples)
      .add("threads", uint64_t{thread_count()})
      .add("peak_rss_bytes", peak_rss_bytes())
      .print();
}

/// The outputs of one sample as JSON numbers.
std::string outputs_json(const executorch::aten::Tensor& outputs, size_t first, size_t count) {
  using executorch::aten::ScalarType;
  std::string text = "[";
  for (size_t i = first; i < first + count; ++i) {
    double value = std::nan("");
    if (outputs.scalar_type() == ScalarType::Float) value = outputs.const_data_ptr<float>()[i];
    if (outputs.scalar_type() == ScalarType::Long)
      value = static_cast<double>(outputs.const_data_ptr<int64_t>()[i]);
    char digits[32];
    std::snprintf(digits, sizeof(digits), "%.9g", value);
    text += (i > first ? ", " : "") + (std::isfinite(value) ? std::string(digits) : "null");
  }
  return text + "]";
}

Status predict(Arguments& arguments) {
  EDGETRAIN_TAKE(const auto program, open_program(arguments));
  EDGETRAIN_TAKE(const size_t batch_size, choose_batch_size(arguments, *program));
  EDGETRAIN_TAKE(const Samples samples, open_samples(arguments, *program, arguments.data, batch_size, false));
  const Manifest* manifest = program->manifest();
  const bool classes = manifest && manifest->loss == "cross_entropy";
  for (size_t b = 0; b < samples.loader->count(); ++b) {
    const Batch batch = samples.loader->batch(b);
    EDGETRAIN_TAKE(const auto outputs, program->predict(batch));
    const size_t width = static_cast<size_t>(outputs.numel()) / batch.size;
    for (size_t i = 0; i < batch.size; ++i) {
      JsonLine line("prediction");
      line.add("index", uint64_t{samples.loader->row(b, i)})
          .add_raw("outputs", outputs_json(outputs, i * width, width));
      if (classes && width > 0 && outputs.scalar_type() == executorch::aten::ScalarType::Float) {
        const float* logits = outputs.const_data_ptr<float>() + i * width;
        const auto best = static_cast<size_t>(std::max_element(logits, logits + width) - logits);
        line.add("class", uint64_t{best});
        if (best < manifest->classes.size()) line.add("label", manifest->classes[best]);
      }
      EDGETRAIN_CHECK(line.print());
    }
  }
  return {};
}

std::string shape_json(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

Status info(Arguments& arguments) {
  {
    EDGETRAIN_TAKE(const MappedFile file, MappedFile::open(arguments.program));
    if (file.size() >= 8 && std::memcmp(file.data() + 4, "FT01", 4) == 0) {
      EDGETRAIN_TAKE(const TensorFile tensors, TensorFile::open(arguments.program));
      std::string list = "{";
      for (const auto& entry : tensors.entries()) {
        list += (list.size() > 1 ? ", " : "") + json_quoted(entry.name) +
                ": {\"shape\": " + shape_json(entry.shape) +
                ", \"dtype\": " + json_quoted(dtype_name(entry.dtype)) + "}";
      }
      return JsonLine("tensors")
          .add("file", arguments.program)
          .add("bytes", uint64_t{file.size()})
          .add("digest", tensors.digest_offset().has_value())
          .add("pairing", tensors.pairing())
          .add_raw("tensors", list + "}")
          .print();
    }
  }
  EDGETRAIN_TAKE(const auto program, open_program(arguments));
  std::string methods = "{", parameters = "{";
  for (const auto& name : program->methods()) {
    EDGETRAIN_TAKE(const auto arenas, program->arena_bytes(name));
    methods += (methods.size() > 1 ? ", " : "") + json_quoted(name) + ": " + shape_json(arenas);
  }
  for (const auto& parameter : program->parameters()) {
    parameters += (parameters.size() > 1 ? ", " : "") + json_quoted(parameter.name) + ": " +
                  std::to_string(parameter.count);
  }
  return JsonLine("program")
      .add("file", arguments.program)
      .add("bytes", uint64_t{program->files().program.size()})
      .add("manifest", program->manifest() != nullptr)
      .add("weights", program->files().weights ? program->files().weights->file().path() : std::string())
      .add("max_batch_size", uint64_t{program->max_batch_size()})
      .add("fixed_batch_size", program->fixed_batch_size())
      .add_raw("sample_shape", shape_json(program->inputs().shape))
      .add_raw("arena_bytes", methods + "}")
      .add_raw("trainable", parameters + "}")
      .print();
}

}  // namespace

Status run_command(Arguments& arguments) {
  if (arguments.command == "train") return train(arguments);
  if (arguments.command == "evaluate") return evaluate(arguments);
  return arguments.command == "predict" ? predict(arguments) : info(arguments);
}

}  // namespace edgetrain
