#include "fast_kernels.h"

#include "convolution.h"
#include "creation.h"
#include "divisions.h"
#include "dropout.h"
#include "elementwise.h"
#include "index_tensors.h"
#include "indexing.h"
#include "joining.h"
#include "logical.h"
#include "matmul.h"
#include "max_pool_backward.h"
#include "normalization.h"
#include "part_writes.h"
#include "pooling.h"
#include "powers.h"
#include "random.h"
#include "recurrent.h"
#include "reduction.h"
#include "running_sums.h"
#include "softmax.h"
#include "topk.h"
#include "unary.h"
#include "views.h"

namespace edgetrain::kernels {

std::vector<Kernel> fast_kernels() {
  std::vector<Kernel> all;
  for (const auto& family :
       {convolution_kernels(),  creation_kernels(),      division_kernels(),   elementwise_kernels(),
        index_tensor_kernels(), indexing_kernels(),      joining_kernels(),    logical_kernels(),
        matmul_kernels(),       normalization_kernels(), part_write_kernels(), pooling_kernels(),
        power_kernels(),        recurrent_kernels(),     reduction_kernels(),  running_sum_kernels(),
        softmax_kernels(),      topk_kernels(),          unary_kernels(),      view_kernels()}) {
    all.insert(all.end(), family.begin(), family.end());
  }
  return all;
}

std::vector<Kernel> corrected_kernels() {
  std::vector<Kernel> all;
  for (const auto& family : {dropout_kernels(), random_kernels(), max_pool_backward_kernels()}) {
    all.insert(all.end(), family.begin(), family.end());
  }
  return all;
}

bool is_corrected(std::string_view name) {
  return name == kDropout || name == kRand || name == kRandn || name == kMaxPoolBackward;
}

}  // namespace edgetrain::kernels
