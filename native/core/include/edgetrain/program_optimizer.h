// The optimizer that is part of a program, beside the one that a run asks for.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "edgetrain/contract.h"
#include "edgetrain/result.h"
#include "edgetrain/settings.h"

namespace edgetrain {

/// What a method is told at each step, by the contract's names.
using Hyperparameters = std::map<std::string, double>;

/// What an update in the graph may have to be told.
/// @param step of the optimizer, counted from 1
/// @param lr of this step; the rates of groups are shares of it
Hyperparameters hyperparameters(const Settings& settings, uint64_t step, double lr);

/// A run's optimizer becomes the program's own in all that nobody chose, but for the learning rate and the
/// largest norm. The rates of its groups keep their ratio to the learning rate. An optimizer that somebody
/// chose and the program hasn't takes nothing from the program.
void take_program_optimizer(Settings& settings, const Contract& contract);

/// Where a run's weights are updated.
struct UpdateChoice {
  bool in_graph = true;
  std::string why_outside;  ///< a clause

  /// In one sentence, for people.
  std::string sentence() const;
};

/// In the graph where the program's own optimizer does all that is asked for, else outside. Fails where the
/// program then returns no gradients.
Result<UpdateChoice> choose_update(const Contract& contract, const Settings& settings);

}  // namespace edgetrain
