#include "edgetrain/contract.h"

#include <algorithm>
#include <iterator>

#include "edgetrain/flat_tensor.h"
#include "read_contract.h"

namespace edgetrain {
namespace {

using Kind = Json::Kind;

constexpr char kBatch[] = "batch";
// As the enumerations have them.
constexpr const char* kRoles[] = {"input",      "target", "hyperparameter", "loss",
                                  "prediction", "output", "metric",         "gradient",
                                  "parameter",  "buffer", "optimizer_state"};
constexpr const char* kKinds[] = {"parameter", "buffer", "optimizer_state"};
constexpr const char* kUpdates[] = {"optimizer", "graph", "none"};
constexpr const char* kMetricKinds[] = {"mean", "exp_mean", "mean_of_ratios"};

/// The number of a text among those known.
template <typename Enum, size_t count>
Enum one_of(JsonFields& fields, const std::string& text, const char* const (&names)[count]) {
  const auto found = std::find(std::begin(names), std::end(names), text);
  if (found == std::end(names)) fields.wrong("it holds the unknown word '" + text + "'");
  return static_cast<Enum>((found - std::begin(names)) % count);
}

int8_t read_dtype(JsonFields& fields, const Json& json) {
  const std::string& name = fields.text(json, "dtype");
  const int8_t number = dtype_number(name);
  if (number < 0) fields.wrong("the dtype " + name + " is unknown");
  return number;
}

Argument read_argument(JsonFields& fields, const Json& json) {
  Argument argument;
  argument.name = fields.text(json, "name");
  argument.role = one_of<Role>(fields, fields.text(json, "role"), kRoles);
  if (const Json* tensor = fields.find(json, "tensor", Kind::kString)) argument.tensor = tensor->string;
  argument.index = static_cast<size_t>(fields.whole(json, "index"));
  argument.dtype = read_dtype(fields, json);
  const auto& shape = fields.at(json, "shape", Kind::kArray).array;
  for (size_t i = 0; i < shape.size(); ++i) {
    if (!shape[i].is(Kind::kString)) {
      argument.shape.push_back(fields.whole(shape[i]));
    } else if (i == 0 && shape[i].string == kBatch) {
      argument.has_batch = true;
    } else {
      fields.wrong(argument.name + " has a length " + shape[i].string +
                   " that may vary, which is unknown here");
    }
  }
  argument.least = fields.maybe_real(json, "least");
  argument.most = fields.maybe_real(json, "most");
  argument.ignored = fields.maybe_real(json, "ignored");
  return argument;
}

std::vector<Argument> read_arguments(JsonFields& fields, const Json& list) {
  std::vector<Argument> arguments;
  for (const Json& item : list.array) {
    arguments.push_back(read_argument(fields, item));
    if (arguments.back().index != arguments.size() - 1)
      fields.wrong("arguments are not numbered in their order");
  }
  return arguments;
}

TensorRecord read_tensor(JsonFields& fields, const Json& json) {
  TensorRecord record;
  record.name = fields.text(json, "name");
  record.kind = one_of<TensorRecord::Kind>(fields, fields.text(json, "kind"), kKinds);
  record.shape = fields.wholes(fields.at(json, "shape", Kind::kArray));
  record.dtype = read_dtype(fields, json);
  record.update = one_of<TensorRecord::Update>(fields, fields.text(json, "update"), kUpdates);
  if (const Json* offset = fields.find(json, "arena_offset", Kind::kNumber)) {
    record.arena_offset = static_cast<uint64_t>(fields.whole(*offset));
  }
  return record;
}

Metric read_metric(JsonFields& fields, const Json& json) {
  return {fields.text(json, "name"),
          one_of<Metric::Kind>(fields, fields.text(json, "kind"), kMetricKinds),
          fields.text(json, "top"),
          fields.text(json, "bottom"),
          fields.at(json, "is_share", Kind::kBool).boolean,
          fields.text(json, "better") == "higher"};
}

ArgumentList of_role(const std::vector<Argument>& all, Role role) {
  ArgumentList found;
  for (const auto& argument : all) {
    if (argument.role == role) found.push_back(&argument);
  }
  return found;
}

}  // namespace

ArgumentList Method::taken(Role role) const { return of_role(inputs, role); }

ArgumentList Method::given(Role role) const { return of_role(outputs, role); }

const Argument* Method::output(const std::string& name) const {
  const auto found =
      std::find_if(outputs.begin(), outputs.end(), [&name](const auto& o) { return o.name == name; });
  return found == outputs.end() ? nullptr : &*found;
}

const Method* Contract::method(const std::string& name) const {
  const auto found = methods.find(name);
  return found == methods.end() ? nullptr : &found->second;
}

const TensorRecord* Contract::tensor(const std::string& name) const {
  const auto found =
      std::find_if(tensors.begin(), tensors.end(), [&name](const auto& t) { return t.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

const Method* Contract::gradient_method() const {
  for (const char* name : {"gradients", "train"}) {
    const Method* found = method(name);
    if (found != nullptr && !found->given(Role::kGradient).empty()) return found;
  }
  return nullptr;
}

std::vector<std::string> Contract::trainable() const {
  std::vector<std::string> names;
  for (const Argument* value : method("train")->given(Role::kParameter)) names.push_back(value->tensor);
  for (const auto& tensor : tensors) {
    const bool trained = tensor.kind == TensorRecord::Kind::kParameter && tensor.changes();
    if (trained && std::find(names.begin(), names.end(), tensor.name) == names.end())
      names.push_back(tensor.name);
  }
  return names;
}

namespace {

/// The loss comes first, and all metrics are made of sums that the methods give.
void check_metrics(JsonFields& fields, const Contract& contract) {
  if (contract.metrics.empty() || contract.metrics[0].name != "loss")
    fields.wrong("its first metric is no loss");
  for (const char* name : {"train", "gradients", "evaluate"}) {
    const Method* method = contract.method(name);
    if (method == nullptr) continue;
    const auto sums = method->given(Role::kMetric);
    for (const auto& metric : contract.metrics) {
      for (const auto* part : {&metric.top, &metric.bottom}) {
        const auto is_it = [part](const Argument* sum) { return sum->name == *part; };
        if (std::none_of(sums.begin(), sums.end(), is_it)) fields.wrong("nothing gives the sum " + *part);
      }
    }
  }
}

}  // namespace

Contract read_contract(JsonFields& fields, const Json& json) {
  Contract contract;
  const Json& batch = fields.at(fields.at(json, "dimensions", Kind::kObject), kBatch, Kind::kObject);
  contract.least_batch = static_cast<size_t>(fields.whole(batch, "least"));
  contract.most_batch = static_cast<size_t>(fields.whole(batch, "most"));
  const bool any = contract.least_batch == 1 && contract.most_batch >= 1;
  if (!any && (contract.least_batch != contract.most_batch || contract.most_batch < 1)) {
    fields.wrong("its batches have an impossible size");
  }
  for (const auto& [name, method] : fields.at(json, "methods", Kind::kObject).object) {
    contract.methods[name] = {name, read_arguments(fields, fields.at(method, "inputs", Kind::kArray)),
                              read_arguments(fields, fields.at(method, "outputs", Kind::kArray))};
  }
  for (const Json& tensor : fields.at(json, "tensors", Kind::kArray).array) {
    contract.tensors.push_back(read_tensor(fields, tensor));
  }
  for (const Json& metric : fields.at(json, "metrics", Kind::kArray).array) {
    contract.metrics.push_back(read_metric(fields, metric));
  }
  if (const Json* optimizer = fields.find(json, "optimizer", Kind::kObject)) {
    const Status taken = contract.optimizer.emplace().read("optimizer", *optimizer);
    if (!taken.ok()) fields.wrong(taken.failure().message);
  }
  contract.splits_batches = fields.at(json, "splits_batches", Kind::kBool).boolean;
  for (const char* name : {"train", "evaluate", "predict"}) {
    if (contract.method(name) == nullptr) fields.wrong(std::string("it has no method ") + name);
  }
  check_metrics(fields, contract);
  return contract;
}

}  // namespace edgetrain
