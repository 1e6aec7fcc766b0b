#include "edgetrain/profiler.h"

#include <edgetrain_build/programs.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "../kernels/boxed.h"
#include "edgetrain/atomic_file.h"
#include "etdump.h"

namespace edgetrain {
namespace {

using kernels::kKernelEvent;

// What the runtime calls the event around an operator, and how events of stock kernels inside begin.
constexpr char kOperator[] = "OPERATOR_CALL", kStockEvent[] = "native_call_";
constexpr size_t kMostLines = 20;

bool starts_with(const std::string& text, const char* prefix) { return text.rfind(prefix, 0) == 0; }

}  // namespace

Result<std::unique_ptr<Profiler>> Profiler::make(uint64_t most, bool training) {
  if constexpr (!kProfiles) return bad_usage("this runner was built without --profile; take one that has it");
  EDGETRAIN_TAKE(auto etdump, Etdump::load());
  return std::unique_ptr<Profiler>(new Profiler(std::move(etdump), most, training));
}

Profiler::Profiler(std::unique_ptr<Etdump> etdump, uint64_t most, bool training)
    : etdump_(std::move(etdump)), tracer_(etdump_->tracer()), most_(most), training_(training) {}

Profiler::~Profiler() = default;

void Profiler::create_event_block(const char* name) {
  if (active_) tracer_.create_event_block(name);
}

Profiler::Entry Profiler::start_profiling(const char* name, Chain chain, Handle handle) {
  if (!active_) return {};
  if (depth_ > 0) {
    ++depth_;
    kernel_ = name;
  } else if (std::strcmp(name, kOperator) == 0) {
    depth_ = 1;
    kernel_.clear();
    watch_ = {};
  }
  // The instruction that runs is told to this tracer only.
  if (chain == executorch::runtime::kUnsetChainId)
    chain = current_chain_id(), handle = current_debug_handle();
  return tracer_.start_profiling(name, chain, handle);
}

void Profiler::end_profiling(Entry entry) {
  if (!active_) return;
  tracer_.end_profiling(entry);
  if (depth_ == 0 || --depth_ > 0) return;
  const bool ours = starts_with(kernel_, kKernelEvent);
  const char* prefix = ours ? kKernelEvent : starts_with(kernel_, kStockEvent) ? kStockEvent : "";
  const std::string name = kernel_.empty() ? "(unnamed)" : kernel_.substr(std::strlen(prefix));
  Sum& sum = sums_[{name, ours}];
  ++sum.calls;
  sum.seconds += watch_.seconds();
}

Profiler::Entry Profiler::start_profiling_delegate(const char* name, Delegate index) {
  return tracer_.start_profiling_delegate(name, index);
}
void Profiler::end_profiling_delegate(Entry entry, const void* metadata, size_t size) {
  tracer_.end_profiling_delegate(entry, metadata, size);
}
void Profiler::log_profiling_delegate(const char* name, Delegate index, et_timestamp_t start,
                                      et_timestamp_t end, const void* metadata, size_t size) {
  tracer_.log_profiling_delegate(name, index, start, end, metadata, size);
}
void Profiler::track_allocation(executorch::runtime::AllocatorID id, size_t size) {
  tracer_.track_allocation(id, size);
}
executorch::runtime::AllocatorID Profiler::track_allocator(const char* name) {
  return tracer_.track_allocator(name);
}
Profiler::Logged Profiler::log_evalue(const Value& value, executorch::runtime::LoggedEValueType type) {
  return tracer_.log_evalue(value, type);
}
Profiler::Logged Profiler::log_intermediate_output_delegate(const char* name, Delegate index,
                                                            const Tensor& output) {
  return tracer_.log_intermediate_output_delegate(name, index, output);
}
Profiler::Logged Profiler::log_intermediate_output_delegate(
    const char* name, Delegate index, const executorch::runtime::ArrayRef<Tensor> output) {
  return tracer_.log_intermediate_output_delegate(name, index, output);
}
Profiler::Logged Profiler::log_intermediate_output_delegate(const char* name, Delegate index,
                                                            const int& output) {
  return tracer_.log_intermediate_output_delegate(name, index, output);
}
Profiler::Logged Profiler::log_intermediate_output_delegate(const char* name, Delegate index,
                                                            const bool& output) {
  return tracer_.log_intermediate_output_delegate(name, index, output);
}
Profiler::Logged Profiler::log_intermediate_output_delegate(const char* name, Delegate index,
                                                            const double& output) {
  return tracer_.log_intermediate_output_delegate(name, index, output);
}
void Profiler::set_delegation_intermediate_output_filter(executorch::runtime::EventTracerFilterBase* filter) {
  tracer_.set_delegation_intermediate_output_filter(filter);
}

Status Profiler::write(const std::string& path) {
  if constexpr (!kProfiles) return {};
  const auto dump = etdump_->data();
  if (dump.buf == nullptr) return failed("ExecuTorch could not put its profile together");
  const auto save = [&]() -> Status {
    EDGETRAIN_TAKE(AtomicFile file, AtomicFile::open(path));
    EDGETRAIN_CHECK(file.write(dump.buf, dump.size));
    return file.commit();
  };
  Status saved = save();
  std::free(dump.buf);
  return saved;
}

std::string Profiler::table() const {
  if constexpr (!kProfiles) return {};
  using Row = std::pair<std::pair<std::string, bool>, Sum>;
  std::vector<Row> rows(sums_.begin(), sums_.end());
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.second.seconds > b.second.seconds; });
  Sum all, ours, rest;
  for (const auto& [operation, sum] : rows) {
    all += sum;
    if (operation.second) ours += sum;
  }
  char line[256];
  std::snprintf(line, sizeof(line),
                "profile of %" PRIu64 " batches: %" PRIu64 " operator calls in %.3f ms, %" PRIu64
                " of them by kernels of edgetrain\n",
                batches_, all.calls, 1e3 * all.seconds, ours.calls);
  std::string text = line;
  std::snprintf(line, sizeof(line), "%-48s %-10s %8s %11s %10s %7s\n", "operator", "kernel", "calls",
                "total ms", "mean ms", "share");
  text += line;
  const auto add = [&](const std::string& name, const char* kernel, const Sum& sum) {
    const double share = all.seconds > 0 ? 100 * sum.seconds / all.seconds : 0;
    std::snprintf(line, sizeof(line), "%-48s %-10s %8" PRIu64 " %11.3f %10.4f %5.1f %%\n", name.c_str(),
                  kernel, sum.calls, 1e3 * sum.seconds, 1e3 * sum.seconds / static_cast<double>(sum.calls),
                  share);
    text += line;
  };
  for (size_t i = 0; i < rows.size(); ++i) {
    if (i < kMostLines) {
      add(rows[i].first.first, rows[i].first.second ? "edgetrain" : "executorch", rows[i].second);
    } else {
      rest += rows[i].second;
    }
  }
  if (rest.calls > 0) add("(" + std::to_string(rows.size() - kMostLines) + " more)", "", rest);
  return text;
}

ProfiledBatch::ProfiledBatch(Profiler* profiler, bool training) : profiler_(profiler) {
  if (profiler_ == nullptr || profiler_->training_ != training || profiler_->batches_ >= profiler_->most_) {
    profiler_ = nullptr;
    return;
  }
  profiler_->active_ = true;
}

ProfiledBatch::~ProfiledBatch() {
  if (profiler_ == nullptr) return;
  profiler_->active_ = false;
  ++profiler_->batches_;
}

}  // namespace edgetrain
