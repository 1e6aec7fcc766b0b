#include "edgetrain/program.h"

#include <executorch/extension/data_loader/buffer_data_loader.h>

#include <algorithm>

#include "../kernels/dropout.h"
#include "../kernels/library.h"
#include "adopted_program.h"
#include "arenas.h"
#include "kernel_table.h"
#include "runtime_failure.h"

namespace edgetrain {

using executorch::aten::ScalarType;
using executorch::aten::Tensor;
using executorch::extension::Module;
using executorch::runtime::Error;
using executorch::runtime::EValue;

namespace {

// As programs call it.
constexpr char kXnnpack[] = "XnnpackBackend";

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

Result<std::unique_ptr<Program>> Program::load(ProgramFiles files, unsigned uses,
                                               std::unique_ptr<Profiler> profiler) {
  std::unique_ptr<Program> program(new Program(std::move(files)));
  EDGETRAIN_CHECK(program->open_module(std::move(profiler)));
  EDGETRAIN_CHECK(program->find_methods());
  program->choose_methods(uses);
  EDGETRAIN_CHECK(program->load_methods());
  EDGETRAIN_CHECK(program->find_changed());
  EDGETRAIN_CHECK(program->find_parameters());
  EDGETRAIN_CHECK(program->find_gradients());
  EDGETRAIN_CHECK(program->take_change());
  // Mutable weights were copied into their arena.
  if (program->files_.weights) program->files_.weights->file().release_pages();
  program->files_.program.release_pages();
  return program;
}

Status Program::open_module(std::unique_ptr<Profiler> profiler) {
  profiler_ = profiler.get();
  auto loader = std::make_unique<RecordingLoader>(files_.program, places_);
  std::unique_ptr<RecordingLoader> weights;
  if (files_.weights) weights = std::make_unique<RecordingLoader>(files_.weights->file(), places_);
  module_ =
      std::make_unique<Module>(std::move(loader), nullptr, nullptr, std::move(profiler), std::move(weights));
  using Verification = executorch::runtime::Program::Verification;
  // A manifest's hash tells whose program it is, not that it is a good one.
  const auto error = module_->load(Verification::InternalConsistency);
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
  return check_methods();
}

Status Program::check_methods() const {
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
      return bad_input(
          {"method ", name, " of ", files_.program.path(), " is not as its manifest says; export again"});
  }
  return {};
}

void Program::choose_methods(unsigned uses) {
  const bool updates = (uses & use::kUpdates) != 0 && contract_.optimizer;
  if (updates) {
    train_ = contract_.method("train");
    update_ = contract_.method("update");
  }
  if ((uses & use::kGradients) != 0) gradients_ = contract_.gradient_method();
  if ((uses & use::kEvaluation) != 0) evaluate_ = contract_.method("evaluate");
  if ((uses & use::kPrediction) != 0) predict_ = contract_.method("predict");
  backbone_ = contract_.backbone();
  // Upstream's programs return their parameters from the only method they have.
  if (updates || gradients_ != nullptr || files_.change)
    weights_ = contract_.method(files_.manifest ? "weights" : "train");
  for (const Method* method : {train_, update_, gradients_, evaluate_, predict_, backbone_, weights_}) {
    if (method != nullptr) loaded_.push_back(method->name);
  }
  std::sort(loaded_.begin(), loaded_.end());
  loaded_.erase(std::unique(loaded_.begin(), loaded_.end()), loaded_.end());
}

Status Program::load_methods() {
  const std::string& path = files_.program.path();
  // Methods of our programs share arenas by design. Upstream's constant methods don't expect to.
  if (files_.manifest) EDGETRAIN_CHECK(share_arenas());
  auto calls = operator_calls(files_.program.data(), files_.program.size());
  if (!calls.ok()) return bad_input({path, " is damaged: ", calls.failure().message});
  EDGETRAIN_TAKE(const auto table, kernel_table(*calls));
  stock_operators_ = table.stock;
  EDGETRAIN_CHECK(load_backends());
  for (const auto& name : loaded_) {
    auto* arenas = arenas_ ? arenas_->allocator() : nullptr;
    if (const auto error = module_->load_method(name, arenas, nullptr, nullptr, table.kernels);
        error != Error::Ok) {
      return runtime_failure(Exit::kBadInput, "ExecuTorch can't load method " + name + " of " + path, error);
    }
  }
  return {};
}

Status Program::load_backends() {
  for (const auto& name : loaded_) {
    const auto meta = module_->method_meta(name);
    if (!meta.ok() || !meta->uses_backend(kXnnpack)) continue;
    // Its static initialisers register the backend.
    if (std::string problem; kernels::load_library(EDGETRAIN_XNNPACK, problem) == nullptr)
      return bad_input({"method ", name, " of ", files_.program.path(), " runs on XNNPACK: ", problem});
  }
  return {};
}

Status Program::share_arenas() {
  std::vector<size_t> sizes;
  for (const auto& name : loaded_) {
    EDGETRAIN_TAKE(const auto planned, arena_bytes(name));
    sizes.resize(std::max(sizes.size(), planned.size()));
    for (size_t i = 0; i < planned.size(); ++i) {
      sizes[i] = std::max(sizes[i], static_cast<size_t>(std::max<int64_t>(planned[i], 0)));
    }
  }
  EDGETRAIN_TAKE(arenas_, Arenas::make(sizes));
  return {};
}

Status Program::find_changed() {
  if (weights_ == nullptr) return {};
  const auto outputs = module_->get_outputs(weights_->name);
  if (!outputs.ok())
    return runtime_failure(Exit::kBadInput, "method " + weights_->name + " can't be read", outputs.error());
  for (const Argument& argument : weights_->outputs) {
    const bool is_state = argument.role == Role::kOptimizerState;
    if (argument.role != Role::kParameter && argument.role != Role::kBuffer && !is_state) continue;
    const EValue& value = (*outputs)[argument.index];
    const TensorRecord* record = contract_.tensor(argument.tensor);
    if (!value.isTensor() || (files_.manifest && record == nullptr))
      return bad_input({"method ", weights_->name, " does not return ", argument.tensor});
    const Tensor& tensor = value.toTensor();
    LiveTensor live = {argument.tensor,
                       {tensor.sizes().begin(), tensor.sizes().end()},
                       static_cast<int8_t>(tensor.scalar_type()),
                       static_cast<uint8_t*>(tensor.mutable_data_ptr()),
                       tensor.nbytes(),
                       0};
    const bool as_said = record == nullptr || (record->shape == live.shape && record->dtype == live.dtype &&
                                               record->changes() && record->is_stored() != is_state);
    if (!as_said || live.data == nullptr)
      return bad_input(
          {argument.tensor, " of ", files_.program.path(), " is not as its manifest says; export again"});
    if (is_state) {
      states_.push_back(std::move(live));
    } else {
      EDGETRAIN_CHECK(add_changed(std::move(live)));
    }
  }
  const auto found = static_cast<size_t>(std::count_if(contract_.tensors.begin(), contract_.tensors.end(),
                                                       [](const auto& tensor) { return tensor.changes(); }));
  if (files_.manifest && found != changed_.size() + states_.size())
    return bad_input({"method ", weights_->name, " of ", files_.program.path(),
                      " does not return all that training changes; export again"});
  return {};
}

Status Program::find_parameters() {
  if (weights_ == nullptr) return {};
  for (const std::string& name : contract_.trainable()) {
    const auto tensor =
        std::find_if(changed_.begin(), changed_.end(), [&name](const auto& c) { return c.name == name; });
    if (tensor == changed_.end() || tensor->dtype != dtype::kFloat32)
      return bad_input(
          {"parameter ", name, " of ", files_.program.path(), " is no tensor of float32 that changes"});
    parameters_.push_back({name, reinterpret_cast<float*>(tensor->data), nullptr,
                           tensor->bytes / sizeof(float), tensor->shape});
  }
  if (parameters_.empty()) return bad_input({files_.program.path(), " has no parameters to train"});
  return {};
}

Status Program::find_gradients() {
  if (gradients_ == nullptr) return {};
  const auto outputs = module_->get_outputs(gradients_->name);
  if (!outputs.ok())
    return runtime_failure(Exit::kBadInput, "method " + gradients_->name + " can't be read", outputs.error());
  const auto given = gradients_->given(Role::kGradient);
  for (const Parameter& parameter : parameters_) {
    const auto slope = std::find_if(given.begin(), given.end(),
                                    [&parameter](const auto* g) { return g->tensor == parameter.name; });
    const EValue* value = slope == given.end() ? nullptr : &(*outputs)[(*slope)->index];
    const bool fits = value != nullptr && value->isTensor() &&
                      value->toTensor().scalar_type() == ScalarType::Float &&
                      static_cast<size_t>(value->toTensor().numel()) == parameter.count;
    if (!fits) return bad_input({"parameter ", parameter.name, " has no gradient of float32 of its size"});
    slopes_.push_back(*slope);
  }
  return {};
}

Status Program::add_changed(LiveTensor tensor) {
  const auto place = places_.find(tensor.data);
  const TensorEntry* entry = files_.weights ? files_.weights->find(tensor.name) : nullptr;
  const bool found = place != places_.end() && place->second.size == tensor.bytes &&
                     (!entry || (entry->offset == place->second.offset && entry->size == tensor.bytes));
  if (!found) {
    return bad_input(
        {"the weights of ", files_.program.path(), " don't lie where ", tensor.name, " is read from"});
  }
  tensor.file_offset = place->second.offset;
  changed_.push_back(std::move(tensor));
  return {};
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
