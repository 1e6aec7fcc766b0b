// What the files of this folder define for an instruction set's table.
#pragma once

#include "../compute.h"

namespace edgetrain::kernels::EDGETRAIN_ISA {

void gemm(const Gemm& gemm);

}  // namespace edgetrain::kernels::EDGETRAIN_ISA
