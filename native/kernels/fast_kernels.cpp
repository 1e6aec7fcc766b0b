#include "fast_kernels.h"

#include "convolution.h"
#include "creation.h"
#include "elementwise.h"
#include "indexing.h"
#include "joining.h"
#include "logical.h"
#include "matmul.h"
#include "normalization.h"
#include "pooling.h"
#include "reduction.h"
#include "softmax.h"
#include "unary.h"
#include "views.h"

namespace edgetrain::kernels {

std::vector<Kernel> fast_kernels() {
  std::vector<Kernel> all;
  for (const auto& family :
       {convolution_kernels(), creation_kernels(), elementwise_kernels(), indexing_kernels(),
        joining_kernels(), logical_kernels(), matmul_kernels(), normalization_kernels(), pooling_kernels(),
        reduction_kernels(), softmax_kernels(), unary_kernels(), view_kernels()}) {
    all.insert(all.end(), family.begin(), family.end());
  }
  return all;
}

}  // namespace edgetrain::kernels
