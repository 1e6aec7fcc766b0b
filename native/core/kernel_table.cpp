#include "kernel_table.h"

#include <edgetrain_build/operators.h>

#include <algorithm>
#include <cstring>

#include "../kernels/fast_kernels.h"
#include "../kernels/isa.h"
#include "../kernels/stock.h"

namespace edgetrain {
namespace {

using executorch::ET_RUNTIME_NAMESPACE::Kernel;

/// Ours, and those the runtime has registered for other operators. An operator that is missing here is looked
/// up there, too, but logged as an error.
std::vector<Kernel> known_kernels() {
  std::vector<Kernel> table = kernels::fast_kernels();
  const auto corrected = kernels::corrected_kernels();
  table.insert(table.end(), corrected.begin(), corrected.end());
  const std::vector<Kernel> ours = table;
  for (const Kernel& kernel : executorch::ET_RUNTIME_NAMESPACE::get_registered_kernels()) {
    const bool replaced = std::any_of(ours.begin(), ours.end(), [&kernel](const Kernel& own) {
      return std::strcmp(own.name_, kernel.name_) == 0;
    });
    if (!replaced) table.push_back(kernel);
  }
  return table;
}

std::vector<std::string> missing_operators(const std::vector<OperatorCall>& calls,
                                           const std::vector<Kernel>& table) {
  std::vector<std::string> missing;
  for (const auto& [name, key] : calls) {
    const bool found = std::any_of(table.begin(), table.end(),
                                   [name = name](const Kernel& kernel) { return name == kernel.name_; });
    if (!found && (missing.empty() || missing.back() != name)) missing.push_back(name);
  }
  return missing;
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

}  // namespace

Result<KernelTable> kernel_table(const std::vector<OperatorCall>& calls) {
  if (kernels::isa_names().empty()) {
    return failed({"this runner was built for processors with ", kernels::isa_name(),
                   ", which this one does not have; build it for this one, or for all"});
  }
  KernelTable table = {known_kernels(), {}};
  table.stock = missing_operators(calls, table.kernels);
  if (table.stock.empty()) return table;
  std::vector<std::string> own;
  for (const auto& name : table.stock) {
    if (kernels::is_own(name)) own.push_back(name);
  }
  if (kernels::kAllOperators && !own.empty()) {
    return bad_input({"this runner has no kernel of ", joined(own),
                      ", operators of a newer edgetrain; install that, or build a runner with it"});
  }
  const std::string reason =
      kernels::kAllOperators
          ? "the program needs ExecuTorch's own kernels of " + joined(table.stock)
          : "this runner was built for other programs, without kernels of " + joined(table.stock);
  const bool has_substitutes =
      own.empty() && std::none_of(table.stock.begin(), table.stock.end(), kernels::is_corrected);
  if (!has_substitutes) return bad_input({reason, "; build one for this program"});
  if (std::string problem; !kernels::load_stock_kernels(problem)) {
    const char* way_out = kernels::kAllOperators ? ": " : "; build one for this program, or ";
    return bad_input({reason, way_out, problem});
  }
  table.kernels = known_kernels();
  const auto missing = missing_operators(calls, table.kernels);
  if (!missing.empty()) {
    return bad_input({"neither edgetrain nor ExecuTorch has a kernel of ", joined(missing),
                      "; export a model that does without"});
  }
  return table;
}

}  // namespace edgetrain
