// Calls kernels of the table for the tests. Each request on stdin is a line "OPERATOR ARGUMENTS" with that
// many lines after it, one per argument in the schema's order:
//   t TYPE DIMS SIZES...   an input tensor, whose bytes follow the line (TYPE: float, double, long, int, byte
//                          or bool)
//   o TYPE DIMS SIZES...   an output tensor of at most that size, filled with NaN or ones before the call
//   a INDEX                an output in the memory of that argument, an input tensor before it
//   v COUNT                a list of tensors, on as many more lines
//   w COUNT                a list of tensors and Nones, on as many more lines
//   i N | d X | b 0|1 | l COUNT N... | m COUNT 0|1... | s TEXT | n   int, float, bool, ints, bools, string,
//   None
// The answer is a line "edgetrain", "executorch" or "failed", by whose kernel ran; then for each output a
// line "DIMS SIZES..." and its bytes.
//
// A request "time SECONDS OPERATOR ARGUMENTS" repeats the call for that long, with tensors that are aligned
// as in the runner. Its answer is whose kernel ran, then a line with the median of a call's seconds.

#include <executorch/devtools/etdump/etdump_flatcc.h>
#include <executorch/extension/memory_allocator/malloc_memory_allocator.h>
#include <executorch/runtime/core/exec_aten/util/scalar_type_util.h>
#include <executorch/runtime/kernel/kernel_runtime_context.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "../core/kernel_table.h"
#include "../kernels/boxed.h"
#include "../kernels/scratch.h"
#include "edgetrain/cpu.h"
#include "edgetrain/runtime_log.h"
#include "edgetrain/stopwatch.h"

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

std::string read_line() {
  std::string line;
  for (int c = std::getchar(); c != '\n'; c = std::getchar()) {
    if (c == EOF) return {};
    line.push_back(static_cast<char>(c));
  }
  return line;
}

/// The arguments of a call, and what they point to.
struct Call {
  explicit Call(bool aligned) : aligned_(aligned) {}

  std::deque<std::vector<char>> bytes;
  std::deque<std::vector<SizesType>> sizes;
  std::deque<std::vector<executorch::aten::DimOrderType>> orders;
  std::deque<std::vector<executorch::aten::StridesType>> strides;
  std::deque<executorch::aten::TensorImpl> tensors;
  std::deque<std::string> texts;
  std::deque<std::vector<EValue*>> pointers;
  // A value that goes looks at its list once more.
  std::deque<std::vector<Tensor>> unboxed_tensors;
  std::deque<executorch::runtime::BoxedEvalueList<Tensor>> tensor_lists;
  std::deque<std::vector<std::optional<Tensor>>> unboxed_optionals;
  std::deque<executorch::runtime::BoxedEvalueList<std::optional<Tensor>>> optional_lists;
  std::deque<EValue> values;
  std::deque<std::vector<int64_t>> integers;
  std::deque<std::unique_ptr<bool[]>> booleans;
  std::deque<executorch::runtime::BoxedEvalueList<int64_t>> lists;
  std::vector<const EValue*> outputs;

  /// @param to the arguments, or what a list holds
  void add_tensor(std::istream& line, bool output, std::deque<EValue>& to) {
    std::string type;
    size_t dims = 0;
    line >> type >> dims;
    auto& size = sizes.emplace_back(dims);
    for (auto& value : size) line >> value;
    const auto scalar = type == "float"    ? ScalarType::Float
                        : type == "double" ? ScalarType::Double
                        : type == "long"   ? ScalarType::Long
                        : type == "int"    ? ScalarType::Int
                        : type == "byte"   ? ScalarType::Byte
                                           : ScalarType::Bool;
    size_t count = executorch::runtime::elementSize(scalar);
    auto& order = orders.emplace_back(dims);
    auto& stride = strides.emplace_back(dims);
    SizesType step = 1;
    for (size_t i = dims; i-- > 0;) {
      order[i] = static_cast<executorch::aten::DimOrderType>(i);
      stride[i] = step;
      step *= size[i];
      count *= static_cast<size_t>(size[i]);
    }
    // Where alignment doesn't count, nothing lies behind a tensor that a sanitizer wouldn't see.
    auto& storage = bytes.emplace_back(count + (aligned_ ? kAlignment : 1));
    char* data = storage.data();
    if (aligned_) data += -reinterpret_cast<uintptr_t>(data) % kAlignment;
    if (output) {
      std::memset(data, executorch::runtime::isFloatingType(scalar) ? 0xff : 1, count);
    } else if (std::fread(data, 1, count, stdin) != count) {
      std::exit(3);
    }
    const auto dynamism = output ? executorch::aten::TensorShapeDynamism::DYNAMIC_BOUND
                                 : executorch::aten::TensorShapeDynamism::STATIC;
    tensors.emplace_back(scalar, dims, size.data(), data, order.data(), stride.data(), dynamism);
    to.emplace_back(Tensor(&tensors.back()));
    if (output) outputs.push_back(&to.back());
  }

  void add_alias(size_t index) {
    const Tensor& onto = values[index].toTensor();
    values.emplace_back(Tensor(&tensors.emplace_back(*onto.unsafeGetTensorImpl())));
    outputs.push_back(&values.back());
  }

  void add_list(size_t count) {
    auto& boxes = pointers.emplace_back();
    auto& unboxed = unboxed_tensors.emplace_back();
    for (size_t i = 0; i < count; ++i) {
      std::istringstream line(read_line());
      char kind = 0;
      line >> kind;
      add_tensor(line, kind == 'o', items_);
      boxes.push_back(&items_.back());
      unboxed.push_back(items_.back().toTensor());
    }
    tensor_lists.emplace_back(boxes.data(), unboxed.data(), static_cast<int>(count));
    values.emplace_back(&tensor_lists.back());
  }

  void add_optionals(size_t count) {
    auto& boxes = pointers.emplace_back();
    for (size_t i = 0; i < count; ++i) {
      std::istringstream line(read_line());
      char kind = 0;
      line >> kind;
      if (kind == 'n') {
        items_.emplace_back();
      } else {
        add_tensor(line, false, items_);
      }
      boxes.push_back(&items_.back());
    }
    auto& unboxed = unboxed_optionals.emplace_back(count);
    optional_lists.emplace_back(boxes.data(), unboxed.data(), static_cast<int>(count));
    values.emplace_back(&optional_lists.back());
  }

  void add(const std::string& text) {
    std::istringstream line(text);
    char kind = 0;
    line >> kind;
    if (kind == 't' || kind == 'o') return add_tensor(line, kind == 'o', values);
    std::string word;
    size_t count = 0;
    switch (kind) {
      case 'a':
        line >> count;
        return add_alias(count);
      case 'i':
        line >> word;
        values.emplace_back(static_cast<int64_t>(std::stoll(word)));
        return;
      case 'd':
        line >> word;
        values.emplace_back(std::strtod(word.c_str(), nullptr));
        return;
      case 'b':
        line >> word;
        values.emplace_back(word == "1");
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
      case 's': {
        auto& read = texts.emplace_back();
        line >> read;
        strings_.emplace_back(read.data(), read.size());
        values.emplace_back(&strings_.back());
        return;
      }
      case 'v':
        line >> count;
        return add_list(count);
      case 'w':
        line >> count;
        return add_optionals(count);
      default:
        values.emplace_back();
    }
  }

 private:
  static constexpr size_t kAlignment = 64;

  bool aligned_;
  std::deque<EValue> items_;
  std::deque<executorch::aten::ArrayRef<bool>> bool_lists_;
  std::deque<executorch::aten::ArrayRef<char>> strings_;
};

/// The median over calls that take that long together.
template <class Function>
double median_seconds(double seconds, const Function& call) {
  const edgetrain::Stopwatch first;
  call();
  // Reading the clock takes as long as a short call.
  const int group = 1 + static_cast<int>(2e-5 / std::max(first.seconds(), 1e-7));
  std::vector<double> times;
  const edgetrain::Stopwatch all;
  do {
    const edgetrain::Stopwatch watch;
    for (int i = 0; i < group; ++i) call();
    times.push_back(watch.seconds() / group);
  } while (all.seconds() < seconds);
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

}  // namespace

int main(int argc, char** argv) {
  edgetrain::keep_runtime_log(nullptr);
  if (const auto status = edgetrain::use_instruction_set(std::getenv("EDGETRAIN_ISA")); !status.ok()) {
    std::fprintf(stderr, "%s\n", status.failure().message.c_str());
    return static_cast<int>(status.failure().exit);
  }
  if (argc == 2 && !edgetrain::set_threads(static_cast<uint32_t>(std::atoi(argv[1]))).ok()) return 1;
  const auto known = edgetrain::kernel_table({});
  const auto& table = known->kernels;
  LastEvent events;
  executorch::extension::MallocMemoryAllocator memory;
  for (std::string head = read_line(); !head.empty(); head = read_line()) {
    std::istringstream words(head);
    std::string name;
    size_t count = 0;
    double seconds = 0;
    words >> name;
    const bool timed = name == "time";
    if (timed) words >> seconds >> name;
    words >> count;
    Call call(timed);
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
    const bool ours = events.name.rfind(edgetrain::kernels::kKernelEvent, 0) == 0;
    const bool failed = context.failure_state() != executorch::runtime::Error::Ok;
    std::printf("%s\n", failed ? "failed" : ours ? "edgetrain" : "executorch");
    if (timed) {
      executorch::ET_RUNTIME_NAMESPACE::KernelRuntimeContext untraced(nullptr, &memory);
      const double median = median_seconds(seconds, [&] {
        kernel->op_(untraced, {stack.data(), stack.size()});
        memory.reset();
      });
      std::printf("%.9g\n", median);
      call.outputs.clear();
    }
    for (const EValue* output : call.outputs) {
      const auto& tensor = output->toTensor();
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
