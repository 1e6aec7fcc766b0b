// Calls kernels of the table for the tests. Each request on stdin is a line "OPERATOR ARGUMENTS" with that
// many lines after it, one per argument in the schema's order:
//   t TYPE DIMS SIZES...   an input tensor, whose bytes follow the line (TYPE: float, long or bool)
//   o TYPE DIMS SIZES...   an output tensor of at most that size, filled with NaN or ones before the call
//   i N | d X | b 0|1 | l COUNT N... | m COUNT 0|1... | n    int, float, bool, ints, bools, None
// The answer is a line "edgetrain", "executorch" or "failed", by whose kernel ran; then for each output a
// line "DIMS SIZES..." and its bytes.

#include <executorch/devtools/etdump/etdump_flatcc.h>
#include <executorch/extension/memory_allocator/malloc_memory_allocator.h>
#include <executorch/runtime/kernel/kernel_runtime_context.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "../kernels/isa.h"
#include "../kernels/scratch.h"
#include "edgetrain/kernel_table.h"
#include "edgetrain/platform.h"

namespace {

using executorch::aten::ScalarType;
using executorch::aten::SizesType;
using executorch::aten::Tensor;
using executorch::ET_RUNTIME_NAMESPACE::Kernel;
using executorch::runtime::EValue;

/// Keeps the name of the last event only.
class LastEvent final : public executorch::etdump::ETDumpGen {
 public:
  executorch::runtime::EventTracerEntry start_profiling(const char* name, executorch::runtime::ChainID,
                                                        executorch::runtime::DebugHandle) override {
    this->name = name;
    return {};
  }
  void end_profiling(executorch::runtime::EventTracerEntry) override {}

  std::string name;
};

/// The arguments of a call, and what they point to.
struct Call {
  std::deque<std::vector<char>> bytes;
  std::deque<std::vector<SizesType>> sizes;
  std::deque<std::vector<executorch::aten::DimOrderType>> orders;
  std::deque<std::vector<executorch::aten::StridesType>> strides;
  std::deque<executorch::aten::TensorImpl> tensors;
  std::deque<EValue> values;
  std::deque<std::vector<EValue*>> pointers;
  std::deque<std::vector<int64_t>> integers;
  std::deque<std::unique_ptr<bool[]>> booleans;
  std::deque<executorch::runtime::BoxedEvalueList<int64_t>> lists;
  std::vector<size_t> outputs;

  void add_tensor(std::istream& line, bool output) {
    std::string type;
    size_t dims = 0;
    line >> type >> dims;
    auto& size = sizes.emplace_back(dims);
    for (auto& value : size) line >> value;
    const auto scalar = type == "float"  ? ScalarType::Float
                        : type == "long" ? ScalarType::Long
                                         : ScalarType::Bool;
    size_t count = type == "float" ? 4 : type == "long" ? 8 : 1;
    auto& order = orders.emplace_back(dims);
    auto& stride = strides.emplace_back(dims);
    SizesType step = 1;
    for (size_t i = dims; i-- > 0;) {
      order[i] = static_cast<executorch::aten::DimOrderType>(i);
      stride[i] = step;
      step *= size[i];
      count *= static_cast<size_t>(size[i]);
    }
    auto& data = bytes.emplace_back(count + 1);
    if (output) {
      std::memset(data.data(), scalar == ScalarType::Float ? 0xff : 1, count);
      outputs.push_back(values.size());
    } else if (std::fread(data.data(), 1, count, stdin) != count) {
      std::exit(3);
    }
    const auto dynamism = output ? executorch::aten::TensorShapeDynamism::DYNAMIC_BOUND
                                 : executorch::aten::TensorShapeDynamism::STATIC;
    tensors.emplace_back(scalar, dims, size.data(), data.data(), order.data(), stride.data(), dynamism);
    values.emplace_back(Tensor(&tensors.back()));
  }

  void add(const std::string& text) {
    std::istringstream line(text);
    char kind = 0;
    line >> kind;
    if (kind == 't' || kind == 'o') return add_tensor(line, kind == 'o');
    double number = 0;
    size_t count = 0;
    switch (kind) {
      case 'i':
        line >> number;
        values.emplace_back(static_cast<int64_t>(number));
        return;
      case 'd':
        line >> number;
        values.emplace_back(number);
        return;
      case 'b':
        line >> number;
        values.emplace_back(number != 0);
        return;
      case 'l': {
        line >> count;
        auto& unboxed = integers.emplace_back(count + 1);  // an empty list must not be null
        auto& boxes = pointers.emplace_back();
        boxes.reserve(count + 1);
        for (size_t i = 0; i < count; ++i) {
          line >> unboxed[i];
          boxes.push_back(&items_.emplace_back(unboxed[i]));
        }
        lists.emplace_back(boxes.data(), unboxed.data(), static_cast<int>(count));
        values.emplace_back(&lists.back());
        return;
      }
      case 'm': {
        line >> count;
        auto& flags = booleans.emplace_back(new bool[count]);
        for (size_t i = 0; i < count; ++i) line >> flags[i];
        values.emplace_back(&bool_lists_.emplace_back(flags.get(), count));
        return;
      }
      default:
        values.emplace_back();
    }
  }

 private:
  std::deque<EValue> items_;
  std::deque<executorch::aten::ArrayRef<bool>> bool_lists_;
};

std::string read_line() {
  std::string line;
  for (int c = std::getchar(); c != '\n'; c = std::getchar()) {
    if (c == EOF) return {};
    line.push_back(static_cast<char>(c));
  }
  return line;
}

}  // namespace

int main(int argc, char** argv) {
  edgetrain::quiet_runtime();
  if (const auto status = edgetrain::kernels::use_isa(std::getenv("EDGETRAIN_ISA")); !status.ok()) {
    std::fprintf(stderr, "%s\n", status.failure().message.c_str());
    return static_cast<int>(status.failure().exit);
  }
  if (argc == 2 && !edgetrain::set_threads(static_cast<uint32_t>(std::atoi(argv[1]))).ok()) return 1;
  const auto table = edgetrain::kernel_table();
  LastEvent events;
  executorch::extension::MallocMemoryAllocator memory;
  for (std::string head = read_line(); !head.empty(); head = read_line()) {
    std::istringstream words(head);
    std::string name;
    size_t count = 0;
    words >> name >> count;
    Call call;
    for (size_t i = 0; i < count; ++i) call.add(read_line());
    std::vector<EValue*> stack;
    for (auto& value : call.values) stack.push_back(&value);
    // After the outputs comes what the operator returns: the output once more, or the list of all.
    EValue returned;
    stack.push_back(call.outputs.size() == 1 ? stack.back() : &returned);
    const auto kernel =
        std::find_if(table.begin(), table.end(), [&name](const Kernel& k) { return name == k.name_; });
    if (kernel == table.end()) return 2;
    executorch::ET_RUNTIME_NAMESPACE::KernelRuntimeContext context(&events, &memory);
    kernel->op_(context, {stack.data(), stack.size()});
    const bool ours = events.name.rfind(edgetrain::kKernelEvent, 0) == 0;
    const bool failed = context.failure_state() != executorch::runtime::Error::Ok;
    std::printf("%s\n", failed ? "failed" : ours ? "edgetrain" : "executorch");
    for (const size_t output : call.outputs) {
      const auto& tensor = call.values[output].toTensor();
      std::printf("%zd", tensor.dim());
      for (const auto size : tensor.sizes()) std::printf(" %d", static_cast<int>(size));
      std::printf("\n");
      std::fwrite(tensor.const_data_ptr(), 1, tensor.nbytes(), stdout);
    }
    std::fflush(stdout);
    memory.reset();
  }
  std::fprintf(stderr, "scratch %zu\n", edgetrain::kernels::scratch_bytes());
}
