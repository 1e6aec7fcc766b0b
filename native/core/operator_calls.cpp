#include "operator_calls.h"

#include <set>

#include "flatbuffer.h"

namespace edgetrain {
namespace {

// Numbers of the union members in ExecuTorch's program.fbs.
constexpr uint8_t kTensor = 5, kKernelCall = 1;

/// The method, a table ExecutionPlan, that calls are read from.
struct Method {
  FlatbufferReader& reader;
  size_t values, value_count, operators, operator_count;

  /// The part of a key that a value stands for: "6;0,1" for a float32 matrix, nothing for all but tensors.
  std::string key_part(size_t value) const {
    const size_t table = reader.target(values + 4 * value);
    if (reader.scalar<uint8_t>(table, 0) != kTensor) return {};
    const size_t tensor = reader.child(table, 1);
    std::string part = std::to_string(reader.scalar<int8_t>(tensor, 0)) + ";";
    const auto [order, dims] = reader.vector(tensor, 3, 1);
    for (size_t i = 0; i < dims; ++i) {
      part += (i == 0 ? "" : ",") + std::to_string(reader.number<uint8_t>(order + i));
    }
    return part;
  }

  /// Two calls with the same types share a kernel. An index that is out of range gives nothing.
  OperatorCall call(size_t kernel_call) const {
    const auto index = static_cast<size_t>(reader.scalar<int32_t>(kernel_call, 0));
    if (index >= operator_count) return {};
    const size_t table = reader.target(operators + 4 * index);
    OperatorCall call = {reader.text(table, 0), "v1/"};
    const std::string overload = reader.text(table, 1);
    if (!overload.empty()) call.first += "." + overload;
    const auto [arguments, count] = reader.vector(kernel_call, 1, 4);
    for (size_t i = 0; i < count && !reader.broken(); ++i) {
      const auto value = static_cast<size_t>(reader.number<int32_t>(arguments + 4 * i));
      if (value >= value_count) return {};
      const std::string part = key_part(value);
      if (!part.empty()) call.second += (call.second.size() > 3 ? "|" : "") + part;
    }
    return call;
  }
};

}  // namespace

// Tables (program.fbs): Program(version, execution_plan), ExecutionPlan(name, container_meta_type, values,
// inputs, outputs, chains, operators), Chain(inputs, outputs, instructions), Instruction(type, arguments),
// KernelCall(op_index, args), EValue(type, value), Tensor(scalar_type, storage_offset, sizes, dim_order),
// Operator(name, overload).
Result<std::vector<OperatorCall>> operator_calls(const uint8_t* data, size_t size) {
  FlatbufferReader reader(data, size);
  std::set<OperatorCall> calls;
  const auto [plans, plan_count] = reader.vector(reader.target(0), 1, 4);
  for (size_t p = 0; p < plan_count && !reader.broken(); ++p) {
    const size_t plan = reader.target(plans + 4 * p);
    const auto [values, value_count] = reader.vector(plan, 2, 4);
    const auto [operators, operator_count] = reader.vector(plan, 6, 4);
    const Method method = {reader, values, value_count, operators, operator_count};
    const auto [chains, chain_count] = reader.vector(plan, 5, 4);
    for (size_t c = 0; c < chain_count && !reader.broken(); ++c) {
      const auto [instructions, count] = reader.vector(reader.target(chains + 4 * c), 2, 4);
      for (size_t i = 0; i < count && !reader.broken(); ++i) {
        const size_t instruction = reader.target(instructions + 4 * i);
        if (reader.scalar<uint8_t>(instruction, 0) != kKernelCall) continue;
        OperatorCall call = method.call(reader.child(instruction, 1));
        if (call.first.empty()) return bad_input("an instruction refers to nothing");
        calls.insert(std::move(call));
      }
    }
  }
  if (reader.broken()) return bad_input("an offset points outside the file");
  return std::vector<OperatorCall>(calls.begin(), calls.end());
}

}  // namespace edgetrain
