#include "edgetrain/program.h"

#include <executorch/extension/data_loader/buffer_data_loader.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "../kernels/dropout.h"
#include "../kernels/stock.h"
#include "adopted_program.h"
#include "arenas.h"
#include "contents.h"
#include "edgetrain/hashing.h"
#include "edgetrain/tensor_writer.h"
#include "kernel_table.h"
#include "runtime_failure.h"
#include "weight_writer.h"

namespace edgetrain {

using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::extension::Module;
using executorch::runtime::Error;
using executorch::runtime::EValue;

namespace {

/// A scalar or vector among outputs; empty where there is none of numbers.
std::vector<double> numbers(const std::vector<EValue>& outputs, size_t index) {
  if (index >= outputs.size() || !outputs[index].isTensor()) return {};
  const Tensor& tensor = outputs[index].toTensor();
  const auto count = static_cast<size_t>(tensor.numel());
  if (tensor.scalar_type() == ScalarType::Float) {
    const float* values = tensor.const_data_ptr<float>();
    return {values, values + count};
  }
  if (tensor.scalar_type() != ScalarType::Long) return {};
  const int64_t* values = tensor.const_data_ptr<int64_t>();
  return {values, values + count};
}

/// to = operation(value, other), element by element; the files' bytes are aligned as their types want it.
template <typename T, typename Operation>
void combine_as(const LiveTensor& tensor, const uint8_t* other, Operation operation, uint8_t* to) {
  for (size_t i = 0; i < tensor.bytes / sizeof(T); ++i) {
    reinterpret_cast<T*>(to)[i] =
        operation(reinterpret_cast<const T*>(tensor.data)[i], reinterpret_cast<const T*>(other)[i]);
  }
}

template <typename Operation>
Status combine(const LiveTensor& tensor, const uint8_t* other, Operation operation, uint8_t* to) {
  if (tensor.dtype == dtype::kFloat32) {
    combine_as<float>(tensor, other, operation, to);
  } else if (tensor.dtype == dtype::kInt64) {
    combine_as<int64_t>(tensor, other, operation, to);
  } else {
    return bad_usage({"changes of ", tensor.name, ", which is ", dtype_name(tensor.dtype),
                      ", can't be told as a difference; save trainable weights instead"});
  }
  return {};
}

}  // namespace

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

Program::Program(ProgramFiles files) : files_(std::move(files)), draws_(std::make_unique<kernels::Draws>()) {}

Program::~Program() = default;

Result<std::unique_ptr<Program>> Program::load(ProgramFiles files, std::unique_ptr<Profiler> profiler) {
  std::unique_ptr<Program> program(new Program(std::move(files)));
  EDGETRAIN_CHECK(program->open_module(std::move(profiler)));
  EDGETRAIN_CHECK(program->find_methods());
  EDGETRAIN_CHECK(program->load_methods());
  EDGETRAIN_CHECK(program->find_parameters());
  EDGETRAIN_CHECK(program->find_buffers());
  EDGETRAIN_CHECK(program->take_change());
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
  const std::string& path = files_.program.path();
  const auto names = module_->method_names();
  if (!names.ok()) return runtime_failure(Exit::kBadInput, "ExecuTorch refuses " + path, names.error());
  methods_.assign(names->begin(), names->end());
  std::sort(methods_.begin(), methods_.end());
  if (files_.manifest) {
    contract_ = files_.manifest->contract;
  } else {
    EDGETRAIN_TAKE(contract_, adopt_program(*module_, path));
  }
  for (const auto& [name, method] : contract_.methods) {
    const auto meta = module_->method_meta(method.name);
    const auto is_as_said = [this, &meta](const Argument& input) {
      const auto tensor = meta->input_tensor_meta(input.index);
      std::vector<int64_t> sizes = input.shape;
      if (input.has_batch) sizes.insert(sizes.begin(), static_cast<int64_t>(contract_.most_batch));
      return tensor.ok() && static_cast<int8_t>(tensor->scalar_type()) == input.dtype &&
             std::equal(sizes.begin(), sizes.end(), tensor->sizes().begin(), tensor->sizes().end());
    };
    const auto is_there = [&meta](const Argument& output) { return output.index < meta->num_outputs(); };
    const bool fits = meta.ok() && meta->num_inputs() == method.inputs.size() &&
                      std::all_of(method.inputs.begin(), method.inputs.end(), is_as_said) &&
                      std::all_of(method.outputs.begin(), method.outputs.end(), is_there);
    if (!fits)
      return bad_input({"method ", name, " of ", path, " is not as its manifest says; export again"});
  }
  train_ = contract_.method("train");
  evaluate_ = contract_.method("evaluate");
  predict_ = contract_.method("predict");
  return {};
}

Status Program::load_methods() {
  const std::string& path = files_.program.path();
  // Methods of our programs share arenas by design. Upstream's constant methods don't expect to.
  if (files_.manifest) EDGETRAIN_CHECK(share_arenas());
  auto calls = operator_calls(files_.program.data(), files_.program.size());
  if (!calls.ok()) return bad_input({path, " is damaged: ", calls.failure().message});
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

Status Program::find_parameters() {
  const auto outputs = module_->get_outputs(train_->name);
  if (!outputs.ok())
    return runtime_failure(Exit::kBadInput, "method " + train_->name + " can't be read", outputs.error());
  const auto values = train_->given(Role::kParameter);
  gradients_ = train_->given(Role::kGradient);
  for (const Argument* gradient : gradients_) {
    const auto value = std::find_if(values.begin(), values.end(),
                                    [gradient](const Argument* v) { return v->tensor == gradient->tensor; });
    const auto as_floats = [&outputs](size_t index) -> const Tensor* {
      const EValue& found = (*outputs)[index];
      return found.isTensor() && found.toTensor().scalar_type() == ScalarType::Float ? &found.toTensor()
                                                                                     : nullptr;
    };
    const Tensor* slope = as_floats(gradient->index);
    const Tensor* tensor = value == values.end() ? nullptr : as_floats((*value)->index);
    if (!slope || !tensor || slope->numel() != tensor->numel()) {
      return bad_input(
          {"parameter ", gradient->tensor, " and its gradient are not float32 tensors of one size"});
    }
    const std::vector<int64_t> shape = {tensor->sizes().begin(), tensor->sizes().end()};
    parameters_.push_back({gradient->tensor, tensor->mutable_data_ptr<float>(), nullptr,
                           static_cast<size_t>(tensor->numel()), shape});
    EDGETRAIN_CHECK(
        add_changed(gradient->tensor, shape, dtype::kFloat32, tensor->mutable_data_ptr(), tensor->nbytes()));
  }
  if (parameters_.empty()) return bad_input({files_.program.path(), " has no parameters to train"});
  return {};
}

Status Program::find_buffers() {
  std::optional<uintptr_t> arena;
  for (const auto& record : contract_.tensors) {
    const bool known =
        std::any_of(changed_.begin(), changed_.end(), [&](const auto& c) { return c.name == record.name; });
    if (record.update == TensorRecord::Update::kNone || known) continue;
    if (!arena) {
      const TensorRecord* first = contract_.tensor(parameters_[0].name);
      if (first == nullptr || !first->arena_offset) {
        return bad_input({"the manifest does not say where ", parameters_[0].name, " lies; export again"});
      }
      // As a number: an offset that is wrong must not become a pointer before it was found among those known.
      arena = reinterpret_cast<uintptr_t>(parameters_[0].value) - *first->arena_offset;
    }
    const auto place = places_.find(reinterpret_cast<const void*>(*arena + record.arena_offset.value_or(0)));
    if (!record.arena_offset || place == places_.end())
      return bad_input({"buffer ", record.name, " is not where the manifest says"});
    EDGETRAIN_CHECK(add_changed(record.name, record.shape, record.dtype, const_cast<void*>(place->first),
                                place->second.size));
  }
  return {};
}

Status Program::add_changed(const std::string& name, const std::vector<int64_t>& shape, int8_t dtype,
                            void* data, size_t bytes) {
  const auto place = places_.find(data);
  const TensorEntry* entry = files_.weights ? files_.weights->find(name) : nullptr;
  const bool found = place != places_.end() && place->second.size == bytes &&
                     (!entry || (entry->offset == place->second.offset && entry->size == bytes));
  if (!found)
    return bad_input({"the weights of ", files_.program.path(), " don't lie where ", name, " is read from"});
  changed_.push_back({name, shape, dtype, static_cast<uint8_t*>(data), bytes, place->second.offset});
  return {};
}

Status Program::take_change() {
  if (!files_.change) return {};
  for (const auto& tensor : changed_) {
    const uint8_t* from = files_.change->data(*files_.change->find(tensor.name));
    if (files_.change_holds == Holds::kTrainable) {
      std::memcpy(tensor.data, from, tensor.bytes);
    } else {
      EDGETRAIN_CHECK(
          combine(tensor, from, [](auto value, auto change) { return value + change; }, tensor.data));
    }
  }
  return {};
}

Result<Program::Values> Program::run(const Method& method, const Batch& batch) {
  if (batch.size < contract_.least_batch || batch.size > contract_.most_batch) {
    return bad_usage({"the program takes batches of ", std::string(contract_.fixed_batch() ? "" : "1 to "),
                      contract_.most_batch, " samples, not ", batch.size});
  }
  Values inputs;
  size_t input = 0, target = 0;
  for (const Argument& argument : method.inputs) {
    const bool is_target = argument.role == Role::kTarget;
    const auto& from = is_target ? batch.targets : batch.inputs;
    size_t& at = is_target ? target : input;
    if ((!is_target && argument.role != Role::kInput) || at >= from.size()) {
      return bad_input({"method ", method.name, " takes ", argument.name, ", which is unknown here"});
    }
    inputs.emplace_back(*from[at++]);
  }
  // Methods for evaluation have no dropout of their own; in upstream's programs that is the same method.
  const ProfiledBatch profiled(profiler_, &method == train_);
  draws_->enabled = &method == train_;
  const kernels::DropoutScope dropout(*draws_);
  auto outputs = module_->execute(method.name, inputs);
  if (!outputs.ok()) {
    if (const auto& problem = kernels::stock_problem(); !problem.empty()) return bad_input(problem);
    return runtime_failure(
        Exit::kFailed,
        "ExecuTorch failed in method " + method.name + " with " + std::to_string(batch.size) + " samples",
        outputs.error());
  }
  return std::move(*outputs);
}

Result<Outcome> Program::outcome(const Method& method, const Batch& batch, const Values& outputs) {
  Outcome outcome{std::nan(""), {}};
  for (const Argument& argument : method.outputs) {
    if (argument.role != Role::kLoss && argument.role != Role::kMetric) continue;
    const auto values = numbers(outputs, argument.index);
    if (values.empty()) return bad_input({"method ", method.name, " does not return ", argument.name});
    if (argument.role == Role::kLoss) {
      outcome.loss = values[0];
    } else {
      outcome.sums[argument.name] = values;
    }
  }
  if (outcome.sums.empty()) {
    // A program that only tells its mean loss.
    const auto size = static_cast<double>(batch.size);
    outcome.sums = {{contract_.metrics[0].top, {outcome.loss * size}}, {contract_.metrics[0].bottom, {size}}};
  }
  return outcome;
}

void Program::begin_step(uint64_t seed, uint64_t step) { *draws_ = {seed, step}; }

Result<Outcome> Program::train(const Batch& batch) {
  EDGETRAIN_TAKE(const Values outputs, run(*train_, batch));
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor& gradient = outputs[gradients_[i]->index].toTensor();
    Parameter& parameter = parameters_[i];
    if (static_cast<size_t>(gradient.numel()) != parameter.count) {
      return bad_input({"the gradient of ", parameter.name, " has another size than the parameter"});
    }
    parameter.gradient = gradient.const_data_ptr<float>();
  }
  return outcome(*train_, batch, outputs);
}

Result<Outcome> Program::evaluate(const Batch& batch) {
  EDGETRAIN_TAKE(const Values outputs, run(*evaluate_, batch));
  return outcome(*evaluate_, batch, outputs);
}

Result<std::vector<Output>> Program::predict(const Batch& batch) {
  EDGETRAIN_TAKE(const Values outputs, run(*predict_, batch));
  std::vector<Output> found;
  for (const Role role : {Role::kOutput, Role::kPrediction}) {
    for (const Argument* argument : predict_->given(role)) {
      const EValue& value = outputs[argument->index];
      if (!value.isTensor())
        return bad_input({"method ", predict_->name, " does not return ", argument->name});
      found.push_back({argument, value.toTensor()});
    }
  }
  return found;
}

Status Program::try_out() {
  Batch batch;
  batch.size = contract_.most_batch;
  const auto zeros = [&batch](const Argument* argument) {
    std::vector<executorch::aten::SizesType> sizes;
    if (argument->has_batch) sizes.push_back(static_cast<executorch::aten::SizesType>(batch.size));
    sizes.insert(sizes.end(), argument->shape.begin(), argument->shape.end());
    return executorch::extension::zeros(sizes, static_cast<ScalarType>(argument->dtype));
  };
  for (const Argument* argument : contract_.inputs()) batch.inputs.push_back(zeros(argument));
  for (const Argument* argument : contract_.targets()) batch.targets.push_back(zeros(argument));
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

bool Program::weights_finite() const {
  return std::all_of(changed_.begin(), changed_.end(), [](const LiveTensor& tensor) {
    if (tensor.dtype != dtype::kFloat32) return true;
    const auto* values = reinterpret_cast<const float*>(tensor.data);
    return std::all_of(values, values + tensor.bytes / sizeof(float),
                       [](float v) { return std::isfinite(v); });
  });
}

Status Program::prepare_save(Holds holds) {
  holds_ = holds;
  base_.reset();
  if (holds == Holds::kFull) return {};
  if (!manifest() || !manifest()->weights) {
    return bad_usage({files_.program.path(),
                      " keeps its weights inside, or has no manifest; they can be saved in full only"});
  }
  EDGETRAIN_TAKE(base_, open_exported_weights(files_.program.path(), *manifest()));
  // What was loaded may have come from another run, with other tensors frozen.
  for (const auto& entry : base_->entries()) {
    const bool changes = contract_.tensor(entry.name)->update != TensorRecord::Update::kNone;
    const TensorEntry* loaded = files_.weights->find(entry.name);
    if (!changes && std::memcmp(base_->data(entry), files_.weights->data(*loaded), entry.size) != 0) {
      return bad_usage({entry.name, " of ", files_.weights->file().path(), " differs from ",
                        base_->file().path(), " and is not trained; such weights can be saved in full only"});
    }
  }
  base_->file().release_pages();
  return {};
}

Status Program::save(const std::string& path) const {
  if (holds_ != Holds::kFull) return write_change(path);
  std::vector<Patch> patches;
  for (const auto& tensor : changed_) patches.push_back({tensor.file_offset, tensor.data, tensor.bytes});
  if (files_.weights) {
    auto status =
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

Status Program::write_change(const std::string& path) const {
  std::vector<NamedTensor> tensors;
  std::vector<std::vector<uint8_t>> differences;
  differences.reserve(changed_.size());
  for (const auto& tensor : changed_) {
    const void* data = tensor.data;
    if (holds_ == Holds::kDelta) {
      auto& difference = differences.emplace_back(tensor.bytes);
      const uint8_t* before = base_->data(*base_->find(tensor.name));
      EDGETRAIN_CHECK(
          combine(tensor, before, [](auto value, auto start) { return value - start; }, difference.data()));
      data = difference.data();
    }
    tensors.push_back({tensor.name, tensor.shape, tensor.dtype, data, tensor.bytes});
  }
  base_->file().release_pages();
  return write_tensors(path, tensors, {{kContentsKey, contents_json({holds_, manifest()->weights->sha256})}});
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
