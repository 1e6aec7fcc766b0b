#include "best_epoch.h"

#include <algorithm>
#include <limits>

#include "edgetrain/json.h"

namespace edgetrain {
namespace {

constexpr char kFinetune[] = "finetune";

/// A validation figure of an epoch's record; the worst there is where it has none.
double figure(const Json& epoch, const Metric& metric) {
  const Json* value = epoch.find("val_" + metric.name);
  if (value == nullptr || !value->is(Json::Kind::kNumber)) return -std::numeric_limits<double>::infinity();
  return metric.higher_is_better ? value->number : -value->number;
}

bool is_validated(const std::string& epoch) {
  const auto parsed = parse_json(epoch);
  const Json* loss = parsed.ok() ? parsed->find("val_loss") : nullptr;
  return loss != nullptr && loss->is(Json::Kind::kNumber);
}

}  // namespace

Result<BestEpoch> BestEpoch::make(const Settings& settings, const std::vector<Metric>& metrics,
                                  bool validated) {
  BestEpoch best;
  best.keeps_ = settings.text(kFinetune, "keep") == "best";
  if (settings.has(kFinetune, "patience")) best.patience_ = settings.whole(kFinetune, "patience");
  best.wanted_ = best.keeps_ || best.patience_ || settings.has(kFinetune, "best_by");
  if (!best.wanted_) return best;
  if (!validated) return bad_usage("the best epoch is told by validation; give samples for it");
  std::string names;
  for (const auto& metric : metrics) {
    names += (names.empty() ? "" : ", ") + metric.name;
    if (metric.name == settings.text(kFinetune, "best_by")) best.deciding_.push_back(metric);
  }
  if (settings.has(kFinetune, "best_by") && best.deciding_.empty()) {
    return bad_usage(
        {"the program has no metric ", settings.text(kFinetune, "best_by"), "; --best-by takes ", names});
  }
  best.deciding_.push_back(metrics[0]);
  return best;
}

bool BestEpoch::counts(const std::string& epoch) const { return wanted_ && is_validated(epoch); }

bool BestEpoch::better(const std::string& epoch, const std::string& best) const {
  const auto one = parse_json(epoch), other = parse_json(best);
  if (!counts(epoch) || !one.ok() || !other.ok()) return false;
  for (const auto& metric : deciding_) {
    const double here = figure(*one, metric), there = figure(*other, metric);
    if (here != there) return here > there;
  }
  return false;
}

bool BestEpoch::out_of_patience(const std::vector<std::string>& epochs, std::optional<uint64_t> best) const {
  if (!patience_ || !best || *best >= epochs.size()) return false;
  const auto since = std::count_if(epochs.begin() + static_cast<ptrdiff_t>(*best) + 1, epochs.end(),
                                   [](const std::string& epoch) { return is_validated(epoch); });
  return static_cast<uint64_t>(since) >= *patience_;
}

}  // namespace edgetrain
