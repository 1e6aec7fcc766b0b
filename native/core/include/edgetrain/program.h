#pragma once

#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "edgetrain/atomic_file.h"
#include "edgetrain/contract.h"
#include "edgetrain/profiler.h"
#include "edgetrain/program_files.h"
#include "edgetrain/program_optimizer.h"
#include "edgetrain/result.h"

namespace edgetrain {

class Arenas;
namespace kernels {
struct Draws;
}

/// Samples as the program takes them, in the contract's order. The tensors refer to the loader's memory,
/// valid until its next batch.
struct Batch {
  std::vector<executorch::extension::TensorPtr> inputs, targets;
  size_t size = 0;
  /// What the backbone makes of the inputs, where that is known already; inputs may then be missing.
  std::vector<executorch::extension::TensorPtr> features = {};
};

/// What a method said about a batch: the mean loss, and the sums that metrics are made of.
struct Outcome {
  double loss;
  Sums sums;
};

/// An output of `predict`. `value` is memory of the program, valid until its next call.
struct Output {
  const Argument* what;
  executorch::aten::Tensor value;
};

/// A trainable parameter: the live memory the program computes with, and its gradient after
/// Program::gradients.
struct Parameter {
  std::string name;
  float* value;
  const float* gradient;
  size_t count;
  std::vector<int64_t> shape;
};

/// Any tensor that training changes: parameters, running statistics, an optimizer's state. `file_offset` is
/// where its bytes lie in the file the weights came from; states are in none.
struct LiveTensor {
  std::string name;
  std::vector<int64_t> shape;
  int8_t dtype;
  uint8_t* data;
  size_t bytes;
  size_t file_offset;
};

/// What a program is to do, as a sum of these: methods for nothing else are loaded, and no memory is taken
/// for them.
namespace use {
constexpr unsigned kUpdates = 1;    ///< Program::train, and update
constexpr unsigned kGradients = 2;  ///< Program::gradients
constexpr unsigned kEvaluation = 4, kPrediction = 8;
constexpr unsigned kAll = 15;  ///< all that the program can do
}  // namespace use

/// A loaded program with one set of weights that all its methods share.
class Program {
 public:
  /// Methods are loaded here: loading one later would reset the weights they share.
  /// @param uses what is needed of it
  /// @param profiler may be null; the program owns it.
  static Result<std::unique_ptr<Program>> load(ProgramFiles files, unsigned uses,
                                               std::unique_ptr<Profiler> profiler = nullptr);
  ~Program();

  /// The masks of all dropouts until the next call are a function of (seed, step, their order).
  void begin_step(uint64_t seed, uint64_t step);
  /// What the backbone makes of a batch's inputs, in memory of its own. Other methods need not be told.
  Result<std::vector<executorch::extension::TensorPtr>> features(const Batch& batch);
  /// A step whose update is in the graph; of a program that splits batches, a part of one.
  Result<Outcome> train(const Batch& batch, const Hyperparameters& told);
  /// Ends a step of several parts.
  Status update(const Hyperparameters& told);
  /// Runs forward and backward: fills the gradients of parameters().
  Result<Outcome> gradients(const Batch& batch);
  /// The same figures in evaluation mode.
  Result<Outcome> evaluate(const Batch& batch);
  /// Outputs, then predictions where the program makes any. Valid until the next call.
  Result<std::vector<Output>> predict(const Batch& batch);

  const Contract& contract() const { return contract_; }
  const std::vector<Parameter>& parameters() const { return parameters_; }
  const std::vector<LiveTensor>& changed() const { return changed_; }
  /// Of the optimizer in the graph; zeros at first.
  const std::vector<LiveTensor>& states() const { return states_; }
  /// Whether all weights are finite.
  bool weights_finite() const;

  /// Finds out whether the weights can be saved like that.
  Status prepare_save(Holds holds);
  /// The weights as prepared: a .ptd like the one exported, or of those that change; or, where the weights
  /// are inside, a copy of the program, with its manifest. commit_together gives them their names.
  Result<std::vector<AtomicFile>> new_files(const std::string& path) const;

  /// Runs every method that is loaded once, on zeros. Weights stay as they are, running statistics don't.
  Status try_out();
  /// Operators that ran or will run on kernels of ExecuTorch's library, as far as methods were run.
  std::vector<std::string> stock_operators() const;

  /// Null where none was given.
  Profiler* profiler() const { return profiler_; }
  const ProgramFiles& files() const { return files_; }
  const Manifest* manifest() const { return files_.manifest ? &*files_.manifest : nullptr; }
  /// All methods, loaded or not.
  std::vector<std::string> methods() const { return methods_; }
  /// Planned memory of a method by arena [bytes].
  Result<std::vector<int64_t>> arena_bytes(const std::string& method);

 private:
  using Values = std::vector<executorch::runtime::EValue>;
  struct Place {
    size_t offset, size;
  };
  class RecordingLoader;

  explicit Program(ProgramFiles files);
  Status open_module(std::unique_ptr<Profiler> profiler);
  Status find_methods();
  Status check_methods() const;
  void choose_methods(unsigned uses);
  Status load_methods();
  Status load_backends();
  Status share_arenas();
  Status find_changed();
  Status find_parameters();
  Status find_gradients();
  Status add_changed(LiveTensor tensor);
  Status take_change();
  Result<Values> run(const Method* method, const Batch& batch, const Hyperparameters& told = {});
  Result<Outcome> outcome(const Method& method, const Batch& batch, const Values& outputs);
  Result<AtomicFile> new_change(const std::string& path) const;

  ProgramFiles files_;
  Contract contract_;
  // Where each mutable weight was read from, by the memory it was read into. The module's loaders write here.
  std::map<const void*, Place> places_;
  std::unique_ptr<Arenas> arenas_;  // outlives the module, whose tensors lie in it
  std::unique_ptr<executorch::extension::Module> module_;
  Profiler* profiler_ = nullptr;  // the module's
  std::unique_ptr<kernels::Draws> draws_;
  std::vector<std::string> methods_, loaded_, stock_operators_;
  // Null where they aren't loaded. Of the last one, only the outputs matter.
  const Method *train_ = nullptr, *update_ = nullptr, *gradients_ = nullptr, *evaluate_ = nullptr,
               *predict_ = nullptr, *backbone_ = nullptr, *weights_ = nullptr;
  std::vector<Parameter> parameters_;
  ArgumentList slopes_;  // their gradients
  std::vector<LiveTensor> changed_, states_;
  Holds holds_ = Holds::kFull;
  std::optional<TensorFile> base_;  // what changes are relative to, where that is not what was loaded
};

}  // namespace edgetrain
