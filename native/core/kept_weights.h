#pragma once

#include <cstdint>
#include <vector>

#include "edgetrain/program.h"

namespace edgetrain {

/// A copy of all that training changes, as it was after some epoch.
class KeptWeights {
 public:
  /// How many tensors are kept: none, or as many as training changes, in that order.
  size_t size() const { return tensors_.size(); }
  const uint8_t* data(size_t index) const { return tensors_[index].data(); }

  void keep(const Program& program);
  void drop() { tensors_.clear(); }
  /// Exchanges the copy with the program's live memory; a second time they are where they were.
  void swap_with(const Program& program);

 private:
  std::vector<std::vector<uint8_t>> tensors_;
};

}  // namespace edgetrain
