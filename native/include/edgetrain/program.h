#pragma once

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "edgetrain/arenas.h"
#include "edgetrain/profiler.h"
#include "edgetrain/program_files.h"
#include "edgetrain/result.h"

namespace edgetrain {

/// Samples as the program takes them. The tensors refer to the loader's memory, valid until its next batch.
struct Batch {
  executorch::extension::TensorPtr inputs;
  executorch::extension::TensorPtr targets;
  size_t size = 0;
};

/// What a method said about a batch. `predictions` is memory of the program, valid until its next call.
struct Outcome {
  double loss;
  executorch::aten::Tensor predictions;
};

/// A trainable parameter: the live memory the program computes with, and its gradient after Program::train.
struct Parameter {
  std::string name;
  float* value;
  const float* gradient;
  size_t count;
  std::vector<int64_t> shape;
};

/// Any tensor that training changes: parameters and running statistics. `file_offset` is where its bytes lie
/// in the file the weights came from.
struct LiveTensor {
  std::string name;
  uint8_t* data;
  size_t bytes;
  size_t file_offset;
};

/// Shape of one sample and its element type, as a program takes it.
struct InputSpec {
  std::vector<int64_t> shape;
  executorch::aten::ScalarType dtype;
};

/// A loaded program with one set of weights that all its methods share.
///
/// Takes edgetrain's programs (methods train, evaluate, predict; manifest beside them) and those of
/// ExecuTorch's own training examples (one method `forward` with `__et_training_*` constants; fixed batch
/// size).
class Program {
 public:
  /// All methods are loaded here: loading one later would reset the weights they share.
  /// @param profiler may be null; the program owns it.
  static Result<std::unique_ptr<Program>> load(ProgramFiles files,
                                               std::unique_ptr<Profiler> profiler = nullptr);

  /// Runs forward and backward: fills the gradients of parameters().
  Result<Outcome> train(const Batch& batch);
  /// Loss and predictions in evaluation mode.
  Result<Outcome> evaluate(const Batch& batch);
  /// Logits (for upstream's programs: predictions; these need targets, too). Valid until the next call.
  Result<executorch::aten::Tensor> predict(const Batch& batch);

  const std::vector<Parameter>& parameters() const { return parameters_; }
  const std::vector<LiveTensor>& changed() const { return changed_; }
  /// Whether all weights are finite.
  bool weights_finite() const;

  /// Writes the weights: a .ptd like the one loaded, or, where they are inside, a copy of the program, with
  /// its manifest. Atomic.
  Status save(const std::string& path) const;

  /// Runs every method once, on zeros. Weights stay as they are, running statistics don't.
  Status try_out();
  /// Operators that ran or will run on kernels of ExecuTorch's library, as far as methods were run.
  std::vector<std::string> stock_operators() const;

  /// Null where none was given.
  Profiler* profiler() const { return profiler_; }
  const ProgramFiles& files() const { return files_; }
  const Manifest* manifest() const { return files_.manifest ? &*files_.manifest : nullptr; }
  const InputSpec& inputs() const { return inputs_; }
  const InputSpec& targets() const { return targets_; }
  /// How many classes there are: those of the manifest or else the logits; 0 where neither tells.
  size_t classes() const;
  size_t max_batch_size() const { return max_batch_size_; }
  /// Whether every batch must have max_batch_size() samples.
  bool fixed_batch_size() const { return !files_.manifest; }
  std::vector<std::string> methods() const { return methods_; }
  /// Planned memory of a method by arena [bytes].
  Result<std::vector<int64_t>> arena_bytes(const std::string& method);

 private:
  struct Place {
    size_t offset, size;
  };
  class RecordingLoader;

  explicit Program(ProgramFiles files) : files_(std::move(files)) {}
  Status open_module(std::unique_ptr<Profiler> profiler);
  Status find_methods();
  Status share_arenas();
  Result<std::vector<std::string>> gradient_names();
  Status find_inputs();
  Status find_weights(const std::vector<std::string>& names);
  Status find_buffers();
  /// Refuses upstream's programs that change a buffer: their metadata, other than the runtime, counts it as
  /// an output.
  Status refuse_buffers(size_t gradients);
  Status add_changed(const std::string& name, void* data, size_t bytes);
  Result<std::vector<executorch::runtime::EValue>> run(const std::string& method, const Batch& batch,
                                                       bool targets);
  Result<Outcome> outcome(const std::string& method, const Batch& batch);

  ProgramFiles files_;
  // Where each mutable weight was read from, by the memory it was read into. The module's loaders write here.
  std::map<const void*, Place> places_;
  std::unique_ptr<Arenas> arenas_;  // outlives the module, whose tensors lie in it
  std::unique_ptr<executorch::extension::Module> module_;
  Profiler* profiler_ = nullptr;  // the module's
  std::vector<std::string> methods_, stock_operators_;
  std::string train_, evaluate_, predict_;
  std::vector<Parameter> parameters_;
  std::vector<LiveTensor> changed_;
  InputSpec inputs_, targets_;
  size_t max_batch_size_ = 0;
};

}  // namespace edgetrain
