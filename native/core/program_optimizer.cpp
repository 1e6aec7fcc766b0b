#include "edgetrain/program_optimizer.h"

#include <cmath>
#include <vector>

namespace edgetrain {
namespace {

constexpr char kOptimizer[] = "optimizer";

/// What an optimizer reads besides learning rates and the largest norm.
std::vector<const char*> rule(const std::string& optimizer) {
  if (optimizer == "sgd") return {"momentum", "dampening", "nesterov", "weight_decay"};
  return {"beta1", "beta2", "eps", "weight_decay"};
}

/// Learning rates of groups in units of the optimizer's.
Settings::Rates shares(const Settings& settings) {
  Settings::Rates rates = settings.rates();
  for (auto& [pattern, rate] : rates) rate /= settings.real(kOptimizer, "lr");
  return rates;
}

/// With patterns in the same order, since the first that fits counts; a ratio may be off by rounding.
bool same_shares(const Settings& a, const Settings& b) {
  const auto ours = shares(a), theirs = shares(b);
  if (ours.size() != theirs.size()) return false;
  for (size_t i = 0; i < ours.size(); ++i) {
    const double most = std::fmax(std::fabs(ours[i].second), std::fabs(theirs[i].second));
    const bool close = std::fabs(ours[i].second - theirs[i].second) <= 1e-12 * most;
    if (ours[i].first != theirs[i].first || !close) return false;
  }
  return true;
}

/// Why a run's optimizer has to be one outside of the program, as a clause; empty where the program's own
/// does all that is asked for.
std::string why_outside(const Contract& contract, const Settings& settings) {
  if (!contract.optimizer) return "the program has no optimizer of its own";
  const Settings& own = *contract.optimizer;
  if (settings.has(kOptimizer, "clip_norm")) return "clip_norm needs all gradients of a step at once";
  if (settings.whole("finetune", "accumulate") > 1 && !contract.splits_batches)
    return "accumulate adds up the gradients of several batches";
  const std::string &name = settings.text(kOptimizer, "name"), &own_name = own.text(kOptimizer, "name");
  if (name != own_name) return joined({"the program's own optimizer is ", own_name, ", not ", name});
  for (const char* key : rule(name)) {
    const std::string &wanted = settings.text(kOptimizer, key), &value = own.text(kOptimizer, key);
    if (wanted != value)
      return joined({"the program's own optimizer has ", key, " ", value, ", not ", wanted});
  }
  if (!same_shares(own, settings))
    return "the program's own optimizer has other groups, or another learning rate for the rest";
  return "";
}

}  // namespace

Hyperparameters hyperparameters(const Settings& settings, uint64_t step, double lr) {
  if (settings.text(kOptimizer, "name") == "sgd") {
    return {{"learning_rate", lr},
            {"gradient_share", step == 1 ? 1.0 : 1.0 - settings.real(kOptimizer, "dampening")}};
  }
  const auto correction = [&settings, step](const char* beta) {
    return 1.0 - std::pow(settings.real(kOptimizer, beta), static_cast<double>(step));
  };
  return {{"learning_rate", lr},
          {"bias_correction1", correction("beta1")},
          {"bias_correction2", correction("beta2")}};
}

void take_program_optimizer(Settings& settings, const Contract& contract) {
  if (!contract.optimizer) return;
  const Settings& own = *contract.optimizer;
  const std::string& name = own.text(kOptimizer, "name");
  if (settings.is_given(kOptimizer, "name") && settings.text(kOptimizer, "name") != name) return;
  for (const char* key :
       {"name", "momentum", "dampening", "nesterov", "weight_decay", "beta1", "beta2", "eps"})
    settings.default_to(kOptimizer, key, own);
  if (settings.is_given(kOptimizer, "groups")) return;
  auto rates = shares(own);
  for (auto& [pattern, rate] : rates) rate *= settings.real(kOptimizer, "lr");
  settings.use_rates(std::move(rates));
}

std::string UpdateChoice::sentence() const {
  return in_graph ? "the weights are updated in the graph"
                  : "the weights are updated outside of the graph: " + why_outside;
}

Result<UpdateChoice> choose_update(const Contract& contract, const Settings& settings) {
  std::string why = edgetrain::why_outside(contract, settings);
  const bool in_graph = why.empty();
  if (!in_graph && contract.gradient_method() == nullptr) {
    return bad_usage({why,
                      ", but the program keeps its gradients to itself; export it with "
                      "--update-in-graph auto"});
  }
  return UpdateChoice{in_graph, std::move(why)};
}

}  // namespace edgetrain
