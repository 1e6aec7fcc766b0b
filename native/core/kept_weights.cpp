#include "kept_weights.h"

#include <algorithm>

namespace edgetrain {

void KeptWeights::keep(const Program& program) {
  tensors_.resize(program.changed().size());
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const LiveTensor& tensor = program.changed()[i];
    tensors_[i].assign(tensor.data, tensor.data + tensor.bytes);
  }
}

void KeptWeights::swap_with(const Program& program) {
  for (size_t i = 0; i < tensors_.size(); ++i) {
    std::swap_ranges(tensors_[i].begin(), tensors_[i].end(), program.changed()[i].data);
  }
}

}  // namespace edgetrain
