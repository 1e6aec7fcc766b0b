#include "adopted_program.h"

#include <edgetrain_build/programs.h>

#include "edgetrain/flat_tensor.h"
#include "edgetrain/manifest.h"
#include "runtime_failure.h"

namespace edgetrain {
namespace {

using executorch::extension::Module;

constexpr char kForward[] = "forward", kNames[] = "__et_training_fqn_forward",
               kGradients[] = "__et_training_gradients_index_forward";

Result<std::vector<std::string>> parameter_names(Module& module, const std::string& path) {
  const auto values = module.execute(kNames);
  if (!values.ok())
    return runtime_failure(Exit::kBadInput, path + " does not name its parameters", values.error());
  std::vector<std::string> names;
  for (const auto& value : *values) {
    if (!value.isString()) return bad_input({path, " does not name its parameters by text"});
    names.emplace_back(value.toString());
  }
  return names;
}

/// Its metadata, other than the runtime, counts a buffer that changes as an output.
Status refuse_buffers(Module& module, const std::string& path, size_t gradients) {
  const auto index = module.execute(kGradients);
  if (!index.ok())
    return runtime_failure(Exit::kBadInput, std::string("method ") + kGradients + " can't be read",
                           index.error());
  const bool same =
      index->size() == 1 && (*index)[0].isInt() && (*index)[0].toInt() == static_cast<int64_t>(gradients);
  if (same) return {};
  return bad_input(
      {path,
       " changes buffers while it trains, and nothing says where they lie; freeze its batch norm "
       "or export it with edgetrain"});
}

}  // namespace

Result<Contract> adopt_program(Module& module, const std::string& path) {
  if constexpr (!kAdoptsPrograms) {
    return bad_input({path, " has no manifest ", file_name(manifest_path(path)),
                      " beside it, which every program that this runner was built for has; copy it along"});
  }
  const auto names = module.method_names();
  if (!names.ok() || names->count(kForward) == 0 || names->count(kGradients) == 0) {
    const bool ours = names.ok() && names->count("train") > 0 && names->count("evaluate") > 0;
    return bad_input(ours ? path + " has no manifest " + file_name(manifest_path(path)) +
                                " beside it; copy it along or export again"
                          : path +
                                " is no training program: it has neither a method train nor __et_training_* "
                                "constants");
  }
  EDGETRAIN_TAKE(const auto parameters, parameter_names(module, path));
  const auto meta = module.method_meta(kForward);
  if (!meta.ok()) return runtime_failure(Exit::kBadInput, "method forward can't be read", meta.error());
  if (meta->num_inputs() != 2) return bad_input("method forward must take inputs and targets, nothing else");
  Method method;
  method.name = kForward;
  Contract contract;
  for (size_t i = 0; i < 2; ++i) {
    const auto tensor = meta->input_tensor_meta(i);
    if (!tensor.ok() || tensor->sizes().size() < 1) return bad_input("method forward takes no batches");
    Argument argument;
    argument.name = i == 0 ? "inputs" : "targets";
    argument.role = i == 0 ? Role::kInput : Role::kTarget;
    argument.index = i;
    argument.dtype = static_cast<int8_t>(tensor->scalar_type());
    argument.has_batch = true;
    argument.shape.assign(tensor->sizes().begin() + 1, tensor->sizes().end());
    method.inputs.push_back(argument);
    if (i == 0) contract.least_batch = contract.most_batch = static_cast<size_t>(tensor->sizes()[0]);
  }
  // The index constants count outputs the runtime does not return once a buffer mutates, so positions are
  // taken from the end: loss, predictions, gradients, parameters.
  const size_t outputs = meta->num_outputs(), count = parameters.size();
  if (count == 0 || outputs < 2 * count + 2)
    return bad_input({path, " does not return gradients and parameters as its metadata says"});
  EDGETRAIN_CHECK(refuse_buffers(module, path, outputs - 2 * count));
  const auto add = [&method](const std::string& name, Role role, size_t index) {
    Argument argument;
    argument.name = name;
    argument.role = role;
    if (role == Role::kGradient || role == Role::kParameter) argument.tensor = name;
    argument.index = index;
    argument.dtype = dtype::kFloat32;
    method.outputs.push_back(argument);
  };
  add("loss", Role::kLoss, 0);
  add("outputs", Role::kOutput, 1);
  for (size_t i = 0; i < count; ++i) add(parameters[i], Role::kGradient, outputs - 2 * count + i);
  for (size_t i = 0; i < count; ++i) add(parameters[i], Role::kParameter, outputs - count + i);
  for (const char* name : {"train", "evaluate", "predict"}) contract.methods[name] = method;
  contract.metrics = {{"loss", Metric::Kind::kMean, "loss_sum", "count", false}};
  return contract;
}

}  // namespace edgetrain
