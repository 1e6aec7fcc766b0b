#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "edgetrain/metrics.h"
#include "edgetrain/settings.h"

namespace edgetrain {

/// What an argument is to its method.
enum class Role {
  kInput,
  kTarget,
  kHyperparameter,
  kLoss,
  kPrediction,
  kOutput,
  kMetric,
  kGradient,
  kParameter,
  kBuffer,
  kOptimizerState
};

/// One input or output of a method.
struct Argument {
  /// Of an input or target: as in the samples; of a gradient or parameter: the tensor's.
  std::string name;
  Role role = Role::kInput;
  std::string tensor;  ///< the tensor it belongs to; may be empty
  size_t index = 0;    ///< position among the method's inputs, or outputs
  int8_t dtype = 0;
  bool has_batch = false;      ///< whether dimension 0 is the batch
  std::vector<int64_t> shape;  ///< without that
  /// Bounds of its values, where data has to be checked against them, and a value outside of these that
  /// counts for nothing.
  std::optional<double> least, most, ignored;
};

/// Arguments in order; they stay the contract's.
using ArgumentList = std::vector<const Argument*>;

/// One method of a program.
struct Method {
  std::string name;  ///< in the program
  std::vector<Argument> inputs, outputs;

  /// Its inputs, or outputs, of a role.
  ArgumentList taken(Role role) const;
  ArgumentList given(Role role) const;
  /// The output of a name; null where there is none.
  const Argument* output(const std::string& name) const;
};

/// A parameter, buffer or optimizer state.
struct TensorRecord {
  enum class Kind { kParameter, kBuffer, kOptimizerState };
  /// Who changes it: an optimizer outside the program, a method as it runs, or nobody.
  enum class Update { kOptimizer, kGraph, kNone };
  std::string name;
  Kind kind = Kind::kParameter;
  std::vector<int64_t> shape;
  int8_t dtype = 0;
  Update update = Update::kNone;
  std::optional<uint64_t> arena_offset;  ///< where a changing one lies in the weights' arena [bytes]

  bool changes() const { return update != Update::kNone; }
  /// Whether it is one of the model's, which files of weights hold.
  bool is_stored() const { return kind != Kind::kOptimizerState; }
};

/// What a program takes and gives: every argument with its role, every tensor with how it changes.
/// Arguments are looked up by role and name; nothing else knows positions.
struct Contract {
  size_t least_batch = 1, most_batch = 0;
  /// train, evaluate and predict among them. Others: gradients, for an optimizer outside where train updates
  /// the weights itself; update, which ends a step of several parts; weights, which returns all that changes.
  std::map<std::string, Method> methods;
  std::vector<TensorRecord> tensors;
  std::vector<Metric> metrics;  ///< the first is the loss
  /// Whose update is part of `train`: its section `optimizer`, in which the learning rate, an input, and the
  /// limit of the gradients' norm mean nothing. None: `train` returns gradients.
  std::optional<Settings> optimizer;
  bool splits_batches = false;  ///< a batch larger than a method takes is run in parts

  /// Null where there is no such method or tensor.
  const Method* method(const std::string& name) const;
  const TensorRecord* tensor(const std::string& name) const;
  /// The method that returns gradients for an optimizer outside; null where there is none.
  const Method* gradient_method() const;
  /// Names of the parameters that are trained, in the order `train` returns them or their gradients.
  std::vector<std::string> trainable() const;
  /// The method that makes features of inputs, which all others take in their place; null where there is
  /// none.
  const Method* backbone() const { return method("backbone"); }
  /// Inputs and targets of a sample.
  ArgumentList inputs() const {
    return (backbone() != nullptr ? backbone() : method("train"))->taken(Role::kInput);
  }
  ArgumentList targets() const { return method("train")->taken(Role::kTarget); }
  /// Whether all batches must be of one size. Parts of one sample make any.
  bool fixed_batch() const { return least_batch == most_batch && !(splits_batches && most_batch == 1); }
};

}  // namespace edgetrain
