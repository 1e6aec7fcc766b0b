#pragma once

#include <executorch/devtools/etdump/etdump_flatcc.h>

#include <memory>

#include "edgetrain/result.h"

namespace edgetrain {

/// ExecuTorch's profiler, from a library of its own that is loaded for it: the runner is not linked with it.
class Etdump {
 public:
  static Result<std::unique_ptr<Etdump>> load();
  Etdump(const Etdump&) = delete;
  ~Etdump();

  executorch::runtime::EventTracer& tracer() { return *generator_; }
  /// What was recorded, to be freed with std::free; no bytes where it could not be put together.
  executorch::etdump::ETDumpResult data() { return data_(generator_); }

 private:
  using Generator = executorch::etdump::ETDumpGen;
  using Construct = void (*)(void* memory, executorch::runtime::Span<uint8_t> buffer);
  using Data = executorch::etdump::ETDumpResult (*)(Generator*);
  Etdump(Construct construct, Data data);

  alignas(Generator) unsigned char memory_[sizeof(Generator)];
  Generator* generator_;
  Data data_;
};

}  // namespace edgetrain
