#include "edgetrain/program.h"

#include <executorch/extension/data_loader/buffer_data_loader.h>

#include <algorithm>
#include <cmath>

#include "../kernels/stock.h"
#include "edgetrain/dropout.h"
#include "edgetrain/hashing.h"
#include "edgetrain/kernel_table.h"
#include "edgetrain/platform.h"
#include "edgetrain/weight_writer.h"

namespace edgetrain {

using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::extension::Module;
using executorch::runtime::Error;
using executorch::runtime::EValue;

/// Reads from a mapping and notes what goes where.
class Program::RecordingLoader final : public executorch::runtime::DataLoader {
 public:
  RecordingLoader(const MappedFile& file, std::map<const void*, Place>& places)
      : inner_(file.data(), file.size()), places_(places) {}

  executorch::runtime::Result<executorch::runtime::FreeableBuffer> load(
      size_t offset, size_t size, const SegmentInfo& info) const override {
    return inner_.load(offset, size, info);
  }
  Error load_into(size_t offset, size_t size, const SegmentInfo& info, void* buffer) const override {
    places_[buffer] = {offset, size};
    return inner_.load_into(offset, size, info, buffer);
  }
  executorch::runtime::Result<size_t> size() const override { return inner_.size(); }

 private:
  executorch::extension::BufferDataLoader inner_;
  std::map<const void*, Place>& places_;
};

Result<std::unique_ptr<Program>> Program::load(ProgramFiles files, std::unique_ptr<Profiler> profiler) {
  std::unique_ptr<Program> program(new Program(std::move(files)));
  EDGETRAIN_CHECK(program->open_module(std::move(profiler)));
  EDGETRAIN_CHECK(program->find_methods());
  EDGETRAIN_TAKE(const auto names, program->gradient_names());
  EDGETRAIN_CHECK(program->find_inputs());
  EDGETRAIN_CHECK(program->find_weights(names));
  // Mutable weights were copied into their arena.
  if (program->files_.weights) program->files_.weights->file().release_pages();
  program->files_.program.release_pages();
  return program;
}

Status Program::open_module(std::unique_ptr<Profiler> profiler) {
  profiler_ = profiler.get();
  const bool ours = files_.manifest.has_value();
  auto loader = std::make_unique<RecordingLoader>(files_.program, places_);
  std::unique_ptr<RecordingLoader> weights;
  if (files_.weights) weights = std::make_unique<RecordingLoader>(files_.weights->file(), places_);
  module_ =
      std::make_unique<Module>(std::move(loader), nullptr, nullptr, std::move(profiler), std::move(weights));
  using Verification = executorch::runtime::Program::Verification;
  // What a manifest vouches for by its hash need not be verified again.
  const auto error = module_->load(ours ? Verification::Minimal : Verification::InternalConsistency);
  if (error != Error::Ok)
    return runtime_failure(Exit::kBadInput, "ExecuTorch refuses " + files_.program.path(), error);
  return {};
}

Status Program::find_methods() {
  auto names = module_->method_names();
  if (!names.ok())
    return runtime_failure(Exit::kBadInput, "ExecuTorch refuses " + files_.program.path(), names.error());
  methods_.assign(names->begin(), names->end());
  std::sort(methods_.begin(), methods_.end());
  const auto has = [&names](const char* name) { return names->count(name) > 0; };
  const std::string& path = files_.program.path();
  if (has("train") && has("evaluate") && has("predict")) {
    train_ = "train", evaluate_ = "evaluate", predict_ = "predict";
    if (!files_.manifest) {
      return bad_input(path + " has no manifest " + file_name(manifest_path(path)) +
                       " beside it; copy it along or export again");
    }
  } else if (has("forward") && has("__et_training_gradients_index_forward")) {
    train_ = evaluate_ = predict_ = "forward";
  } else {
    return bad_input(path +
                     " is no training program: it has neither a method train nor __et_training_* constants");
  }
  // Methods of our programs share arenas by design. Upstream's constant methods don't expect to.
  if (files_.manifest) EDGETRAIN_CHECK(share_arenas());
  auto calls = operator_calls(files_.program.data(), files_.program.size());
  if (!calls.ok()) return bad_input(path + " is damaged: " + calls.failure().message);
  EDGETRAIN_TAKE(const auto table, kernel_table(*calls));
  stock_operators_ = table.stock;
  for (const auto& name : methods_) {
    auto* arenas = arenas_ ? arenas_->allocator() : nullptr;
    if (const auto error = module_->load_method(name, arenas, nullptr, nullptr, table.kernels);
        error != Error::Ok) {
      return runtime_failure(Exit::kBadInput, "ExecuTorch can't load method " + name + " of " + path, error);
    }
  }
  return {};
}

Status Program::share_arenas() {
  std::vector<size_t> sizes;
  for (const auto& name : methods_) {
    EDGETRAIN_TAKE(const auto planned, arena_bytes(name));
    sizes.resize(std::max(sizes.size(), planned.size()));
    for (size_t i = 0; i < planned.size(); ++i) {
      sizes[i] = std::max(sizes[i], static_cast<size_t>(std::max<int64_t>(planned[i], 0)));
    }
  }
  EDGETRAIN_TAKE(arenas_, Arenas::make(sizes));
  return {};
}

Result<std::vector<std::string>> Program::gradient_names() {
  if (files_.manifest) return files_.manifest->gradients;
  auto values = module_->execute("__et_training_fqn_forward");
  if (!values.ok()) {
    return runtime_failure(Exit::kBadInput, files_.program.path() + " does not name its parameters",
                           values.error());
  }
  std::vector<std::string> names;
  for (const EValue& value : *values) {
    if (!value.isString()) return bad_input(files_.program.path() + " does not name its parameters by text");
    names.emplace_back(value.toString());
  }
  return names;
}

Status Program::find_inputs() {
  const auto meta = module_->method_meta(train_);
  if (!meta.ok())
    return runtime_failure(Exit::kBadInput, "method " + train_ + " can't be read", meta.error());
  InputSpec* specs[] = {&inputs_, &targets_};
  const bool pair = meta->num_inputs() == 2;
  for (size_t i = 0; pair && i < 2; ++i) {
    const auto tensor = meta->input_tensor_meta(i);
    if (!tensor.ok() || tensor->sizes().size() < 1)
      return bad_input("method " + train_ + " takes no batches");
    specs[i]->shape.assign(tensor->sizes().begin() + 1, tensor->sizes().end());
    specs[i]->dtype = tensor->scalar_type();
    if (i == 0) max_batch_size_ = static_cast<size_t>(tensor->sizes()[0]);
  }
  if (!pair) return bad_input("method " + train_ + " must take inputs and targets, nothing else");
  return {};
}

Status Program::find_weights(const std::vector<std::string>& names) {
  auto outputs = module_->get_outputs(train_);
  if (!outputs.ok())
    return runtime_failure(Exit::kBadInput, "method " + train_ + " can't be read", outputs.error());
  const size_t count = names.size();
  // The index constants of upstream count outputs the runtime does not return once a buffer mutates, so
  // positions are taken from the end: loss, predictions, gradients, parameters.
  if (count == 0 || outputs->size() < 2 * count + 2) {
    return bad_input(files_.program.path() +
                     " does not return gradients and parameters as its metadata says");
  }
  const size_t first = outputs->size() - count;
  for (size_t i = 0; i < count; ++i) {
    const EValue& parameter = (*outputs)[first + i];
    const EValue& gradient = (*outputs)[first - count + i];
    const bool floats = parameter.isTensor() && gradient.isTensor() &&
                        parameter.toTensor().scalar_type() == ScalarType::Float &&
                        gradient.toTensor().scalar_type() == ScalarType::Float &&
                        parameter.toTensor().numel() == gradient.toTensor().numel();
    if (!floats)
      return bad_input("parameter " + names[i] + " and its gradient are not float32 tensors of one size");
    const Tensor tensor = parameter.toTensor();
    parameters_.push_back({names[i],
                           tensor.mutable_data_ptr<float>(),
                           nullptr,
                           static_cast<size_t>(tensor.numel()),
                           {tensor.sizes().begin(), tensor.sizes().end()}});
    EDGETRAIN_CHECK(add_changed(names[i], tensor.mutable_data_ptr(), tensor.nbytes()));
  }
  return files_.manifest ? find_buffers() : refuse_buffers(first - count);
}

Status Program::refuse_buffers(size_t gradients) {
  const std::string constant = "__et_training_gradients_index_forward";
  auto index = module_->execute(constant);
  if (!index.ok())
    return runtime_failure(Exit::kBadInput, "method " + constant + " can't be read", index.error());
  const bool same =
      index->size() == 1 && (*index)[0].isInt() && (*index)[0].toInt() == static_cast<int64_t>(gradients);
  if (same) return {};
  return bad_input(files_.program.path() +
                   " changes buffers while it trains, and nothing says where they lie; freeze its batch norm "
                   "or export it with edgetrain");
}

Status Program::find_buffers() {
  const auto& records = files_.manifest->tensors;
  const auto record_of = [&records](const std::string& name) {
    return std::find_if(records.begin(), records.end(), [&name](const auto& r) { return r.name == name; });
  };
  const auto first = record_of(parameters_[0].name);
  if (first == records.end() || !first->arena_offset) {
    return bad_input("the manifest does not say where " + parameters_[0].name + " lies; export again");
  }
  // As a number: an offset that is wrong must not become a pointer before it was found among those known.
  const auto arena = reinterpret_cast<uintptr_t>(parameters_[0].value) - *first->arena_offset;
  for (const auto& record : records) {
    const bool known =
        std::any_of(changed_.begin(), changed_.end(), [&](const auto& c) { return c.name == record.name; });
    if (!record.is_mutable || known || !record.arena_offset) continue;
    auto* data = reinterpret_cast<uint8_t*>(arena + *record.arena_offset);
    const auto place = places_.find(data);
    if (place == places_.end()) return bad_input("buffer " + record.name + " is not where the manifest says");
    EDGETRAIN_CHECK(add_changed(record.name, data, place->second.size));
  }
  return {};
}

Status Program::add_changed(const std::string& name, void* data, size_t bytes) {
  const auto place = places_.find(data);
  const TensorEntry* entry = files_.weights ? files_.weights->find(name) : nullptr;
  const bool found = place != places_.end() && place->second.size == bytes &&
                     (!entry || (entry->offset == place->second.offset && entry->size == bytes));
  if (!found)
    return bad_input("the weights of " + files_.program.path() + " don't lie where " + name +
                     " is read from");
  changed_.push_back({name, static_cast<uint8_t*>(data), bytes, place->second.offset});
  return {};
}

Result<std::vector<EValue>> Program::run(const std::string& method, const Batch& batch, bool targets) {
  const bool size_fits = fixed_batch_size() ? batch.size == max_batch_size_ : batch.size <= max_batch_size_;
  if (batch.size == 0 || !size_fits) {
    return bad_usage("the program takes batches of " + std::string(fixed_batch_size() ? "" : "1 to ") +
                     std::to_string(max_batch_size_) + " samples, not " + std::to_string(batch.size));
  }
  std::vector<EValue> inputs = {EValue(*batch.inputs)};
  if (targets) inputs.emplace_back(*batch.targets);
  auto outputs = module_->execute(method, inputs);
  if (!outputs.ok()) {
    EDGETRAIN_CHECK(kernels::stock_status());
    return runtime_failure(
        Exit::kFailed,
        "ExecuTorch failed in method " + method + " with " + std::to_string(batch.size) + " samples",
        outputs.error());
  }
  return std::move(*outputs);
}

Result<Outcome> Program::outcome(const std::string& method, const Batch& batch) {
  EDGETRAIN_TAKE(const auto outputs, run(method, batch, true));
  const bool usable = outputs.size() >= 2 && outputs[0].isTensor() && outputs[1].isTensor() &&
                      outputs[0].toTensor().numel() == 1 &&
                      outputs[0].toTensor().scalar_type() == ScalarType::Float;
  if (!usable) return bad_input("method " + method + " does not return a loss and predictions");
  if (method == train_) {
    const size_t count = parameters_.size();
    for (size_t i = 0; i < count; ++i) {
      const Tensor& gradient = outputs[outputs.size() - 2 * count + i].toTensor();
      if (static_cast<size_t>(gradient.numel()) != parameters_[i].count) {
        return bad_input("the gradient of " + parameters_[i].name + " has another size than the parameter");
      }
      parameters_[i].gradient = gradient.const_data_ptr<float>();
    }
  }
  return Outcome{outputs[0].toTensor().const_data_ptr<float>()[0], outputs[1].toTensor()};
}

Result<Outcome> Program::train(const Batch& batch) {
  const ProfiledBatch profiled(profiler_, true);
  return outcome(train_, batch);
}

Result<Outcome> Program::evaluate(const Batch& batch) {
  const ProfiledBatch profiled(profiler_, false);
  if (evaluate_ != train_) return outcome(evaluate_, batch);
  // Upstream's programs have only the training graph: dropout off is what evaluation means there.
  dropout::enable(false);
  auto result = outcome(evaluate_, batch);
  dropout::enable(true);
  return result;
}

Result<Tensor> Program::predict(const Batch& batch) {
  if (predict_ == train_) {
    EDGETRAIN_TAKE(const Outcome result, evaluate(batch));
    return result.predictions;
  }
  const ProfiledBatch profiled(profiler_, false);
  EDGETRAIN_TAKE(const auto outputs, run(predict_, batch, false));
  if (outputs.empty() || !outputs[0].isTensor())
    return bad_input("method " + predict_ + " returns no logits");
  return outputs[0].toTensor();
}

Status Program::try_out() {
  const auto zeros = [this](const InputSpec& spec) {
    std::vector<executorch::aten::SizesType> sizes = {
        static_cast<executorch::aten::SizesType>(max_batch_size_)};
    sizes.insert(sizes.end(), spec.shape.begin(), spec.shape.end());
    return executorch::extension::zeros(sizes, spec.dtype);
  };
  const Batch batch = {zeros(inputs_), zeros(targets_), max_batch_size_};
  EDGETRAIN_CHECK(train(batch));
  EDGETRAIN_CHECK(evaluate(batch));
  EDGETRAIN_CHECK(predict(batch));
  return {};
}

std::vector<std::string> Program::stock_operators() const {
  std::vector<std::string> all = stock_operators_;
  const auto& uncovered = kernels::uncovered_operators();
  all.insert(all.end(), uncovered.begin(), uncovered.end());
  return all;
}

size_t Program::classes() const {
  if (!files_.manifest) return 0;
  if (!files_.manifest->classes.empty()) return files_.manifest->classes.size();
  if (files_.manifest->loss != "cross_entropy") return 0;
  const auto meta = module_->method_meta(predict_);
  if (!meta.ok() || meta->num_outputs() == 0) return 0;
  const auto logits = meta->output_tensor_meta(0);
  return logits.ok() && logits->sizes().size() == 2 ? static_cast<size_t>(logits->sizes()[1]) : 0;
}

bool Program::weights_finite() const {
  // Integer buffers (counters of batches) are never not finite; there are none among float weights in our
  // programs.
  return std::all_of(changed_.begin(), changed_.end(), [](const LiveTensor& tensor) {
    const auto* values = reinterpret_cast<const float*>(tensor.data);
    return std::all_of(values, values + tensor.bytes / sizeof(float),
                       [](float v) { return std::isfinite(v); });
  });
}

Status Program::save(const std::string& path) const {
  std::vector<Patch> patches;
  for (const auto& tensor : changed_) patches.push_back({tensor.file_offset, tensor.data, tensor.bytes});
  if (files_.weights) {
    const auto status =
        write_patched(path, files_.weights->file(), std::move(patches), files_.weights->digest_offset());
    files_.weights->file().release_pages();
    return status;
  }
  if (!files_.manifest) return write_patched(path, files_.program, std::move(patches), std::nullopt);
  return write_patched(path, files_.program, std::move(patches), std::nullopt, [&](const Digest& digest) {
    return copy_manifest(manifest_path(files_.program.path()), path,
                         {file_name(path), files_.program.size(), hex(digest)});
  });
}

Result<std::vector<int64_t>> Program::arena_bytes(const std::string& method) {
  const auto meta = module_->method_meta(method);
  if (!meta.ok())
    return runtime_failure(Exit::kBadInput, "method " + method + " can't be read", meta.error());
  std::vector<int64_t> sizes;
  for (size_t i = 0; i < meta->num_memory_planned_buffers(); ++i) {
    const auto size = meta->memory_planned_buffer_size(i);
    if (size.ok()) sizes.push_back(*size);
  }
  return sizes;
}

}  // namespace edgetrain
