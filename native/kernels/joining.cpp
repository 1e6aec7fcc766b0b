#include "joining.h"

#include <cstring>

#include "types.h"

namespace edgetrain::kernels {
namespace {

using TensorList = executorch::aten::ArrayRef<Tensor>;

/// A tensor as rows of bytes, and parts of each row that lie in tensors of their own, one after another.
struct Parts {
  char* whole;
  int64_t rows, row;  // bytes of a row
  struct Part {
    char* data;
    int64_t bytes;  // of each row
  };
  std::vector<Part> parts;
};

/// f(part's bytes, the whole's bytes, count) for all rows of all parts.
template <class Function>
void for_each_part(const Parts& p, const Function& f) {
  for (int64_t row = 0; row < p.rows; ++row) {
    char* at = p.whole + row * p.row;
    for (const auto& part : p.parts) {
      if (part.bytes > 0) f(part.data + row * part.bytes, at, static_cast<size_t>(part.bytes));
      at += part.bytes;
    }
  }
}

void join(const Parts& parts) {
  for_each_part(parts, [](char* part, char* whole, size_t bytes) { std::memcpy(whole, part, bytes); });
}
void split(const Parts& parts) {
  for_each_part(parts, [](char* part, char* whole, size_t bytes) { std::memcpy(part, whole, bytes); });
}

char* bytes_of(const Tensor& tensor) { return static_cast<char*>(tensor.mutable_data_ptr()); }

/// Rows end where `dim` begins.
Parts rows_of(const Tensor& whole, int64_t dim) {
  Parts parts = {bytes_of(whole), 1, static_cast<int64_t>(whole.element_size()), {}};
  for (int64_t i = 0; i < whole.dim(); ++i) (i < dim ? parts.rows : parts.row) *= whole.size(i);
  return parts;
}

/// Joins tensors along a dimension, each of which counts as its first `dims` ones.
std::optional<Parts> plan_join(const TensorList& tensors, int64_t dim, const std::vector<int64_t>& sizes,
                               const Tensor& out) {
  const auto type = out.scalar_type();
  if (!is_dense(out, type) || !resize(out, sizes)) return {};
  Parts parts = rows_of(out, dim);
  for (const Tensor& tensor : tensors) {
    if (!is_dense(tensor, type)) return {};
    const int64_t bytes = static_cast<int64_t>(tensor.nbytes());
    parts.parts.push_back({bytes_of(tensor), parts.rows == 0 ? 0 : bytes / parts.rows});
  }
  return parts;
}

/// (tensors, dim) → out
struct Cat {
  static constexpr char kName[] = "aten::cat.out";
  static std::optional<Parts> plan(Stack stack) {
    const auto tensors = stack[0]->toTensorList();
    // Tensors of size [0] join anything.
    std::vector<Tensor> joined;
    for (const Tensor& tensor : tensors) {
      if (tensor.dim() != 1 || tensor.numel() > 0) joined.push_back(tensor);
    }
    if (joined.empty()) return {};
    auto sizes = sizes_of(joined[0]);
    const int64_t dim = from_front(stack[1]->toInt(), joined[0].dim());
    if (dim < 0) return {};
    sizes[static_cast<size_t>(dim)] = 0;
    for (const Tensor& tensor : joined) {
      auto others = sizes_of(tensor);
      if (others.size() != sizes.size()) return {};
      sizes[static_cast<size_t>(dim)] += others[static_cast<size_t>(dim)];
      others[static_cast<size_t>(dim)] = sizes[static_cast<size_t>(dim)];
      if (others != sizes) return {};
    }
    return plan_join({joined.data(), joined.size()}, dim, sizes, stack[2]->toTensor());
  }
  static void run(const Parts& parts) { join(parts); }
};

/// (tensors, dim) → out
struct StackTensors {
  static constexpr char kName[] = "aten::stack.out";
  static std::optional<Parts> plan(Stack stack) {
    const auto tensors = stack[0]->toTensorList();
    if (tensors.empty()) return {};
    auto sizes = sizes_of(tensors[0]);
    for (const Tensor& tensor : tensors) {
      if (sizes_of(tensor) != sizes) return {};
    }
    const int64_t dim = from_front(stack[1]->toInt(), tensors[0].dim() + 1);
    if (dim < 0) return {};
    sizes.insert(sizes.begin() + dim, static_cast<int64_t>(tensors.size()));
    return plan_join({tensors.data(), tensors.size()}, dim, sizes, stack[2]->toTensor());
  }
  static void run(const Parts& parts) { join(parts); }
};

/// Splits along a dimension. Where `keep` is false, all sizes there are 1 and the dimension goes.
std::optional<Parts> plan_split(const Tensor& self, int64_t dim, const std::vector<int64_t>& lengths,
                                bool keep, const TensorList& outs) {
  const auto type = self.scalar_type();
  dim = from_front(dim, self.dim());
  if (!is_dense(self, type) || dim < 0 || lengths.size() != outs.size()) return {};
  Parts parts = rows_of(self, dim);
  int64_t total = 0;
  for (size_t i = 0; i < lengths.size(); ++i) {
    auto sizes = sizes_of(self);
    if (keep) {
      sizes[static_cast<size_t>(dim)] = lengths[i];
    } else {
      sizes.erase(sizes.begin() + dim);
    }
    if (lengths[i] < 0 || !is_dense(outs[i], type) || !resize(outs[i], sizes)) return {};
    const int64_t length = self.size(dim);
    parts.parts.push_back({bytes_of(outs[i]), length == 0 ? 0 : parts.row / length * lengths[i]});
    total += lengths[i];
  }
  if (total != self.size(dim)) return {};
  return parts;
}

/// (self, split_size, dim) → outs
struct SplitCopy {
  static constexpr char kName[] = "aten::split_copy.Tensor_out";
  static std::optional<Parts> plan(Stack stack) {
    const auto& self = stack[0]->toTensor();
    const int64_t length = stack[1]->toInt(), dim = from_front(stack[2]->toInt(), self.dim());
    if (dim < 0 || length < 1) return {};
    std::vector<int64_t> lengths(stack[3]->toTensorList().size(), length);
    if (lengths.empty()) return {};
    lengths.back() = self.size(dim) - length * (static_cast<int64_t>(lengths.size()) - 1);
    if (lengths.back() > length) return {};
    return plan_split(self, dim, lengths, true, stack[3]->toTensorList());
  }
  static void run(const Parts& parts) { split(parts); }
};

/// (self, split_sizes, dim) → outs
struct SplitWithSizesCopy {
  static constexpr char kName[] = "aten::split_with_sizes_copy.out";
  static std::optional<Parts> plan(Stack stack) {
    const auto lengths = stack[1]->toIntList();
    return plan_split(stack[0]->toTensor(), stack[2]->toInt(), {lengths.begin(), lengths.end()}, true,
                      stack[3]->toTensorList());
  }
  static void run(const Parts& parts) { split(parts); }
};

/// (self, dim) → outs
struct UnbindCopy {
  static constexpr char kName[] = "aten::unbind_copy.int_out";
  static std::optional<Parts> plan(Stack stack) {
    const auto outs = stack[2]->toTensorList();
    return plan_split(stack[0]->toTensor(), stack[1]->toInt(), std::vector<int64_t>(outs.size(), 1), false,
                      outs);
  }
  static void run(const Parts& parts) { split(parts); }
};

}  // namespace

std::vector<Kernel> joining_kernels() {
  return kernels_of<Cat, StackTensors, SplitCopy, SplitWithSizesCopy, UnbindCopy>();
}

}  // namespace edgetrain::kernels
