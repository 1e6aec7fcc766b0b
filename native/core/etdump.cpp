#include "etdump.h"

#include <dlfcn.h>

#include "../kernels/library.h"

namespace edgetrain {

Result<std::unique_ptr<Etdump>> Etdump::load() {
  std::string problem;
  void* library = kernels::load_library(EDGETRAIN_ETDUMP, problem);
  if (library == nullptr) return bad_input({"--profile needs ExecuTorch's profiler: ", problem});
  // Only what is not virtual has to be found by name: the constructor, and get_etdump_data().
  void* construct = ::dlsym(library, "_ZN10executorch6etdump9ETDumpGenC1ENS_7runtime4SpanIhEE");
  void* data = ::dlsym(library, "_ZN10executorch6etdump9ETDumpGen15get_etdump_dataEv");
  if (construct == nullptr || data == nullptr) {
    return bad_input(EDGETRAIN_ETDUMP
                     " is of another version of ExecuTorch; take the one that came with the runner");
  }
  return std::unique_ptr<Etdump>(
      new Etdump(reinterpret_cast<Construct>(construct), reinterpret_cast<Data>(data)));
}

Etdump::Etdump(Construct construct, Data data)
    : generator_(reinterpret_cast<Generator*>(memory_)), data_(data) {
  construct(memory_, {});
}

Etdump::~Etdump() { generator_->~Generator(); }

}  // namespace edgetrain
