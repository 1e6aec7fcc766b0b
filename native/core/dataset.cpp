#include "edgetrain/dataset.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "edgetrain/commit.h"
#include "edgetrain/hashing.h"

namespace edgetrain {
namespace {

constexpr size_t kRecordBytes = 1 + 3 * 32 * 32;

Column column(std::string name, std::vector<int64_t> shape, int8_t type) {
  const size_t items =
      std::accumulate(shape.begin(), shape.end(), size_t{1},
                      [](size_t total, int64_t length) { return total * static_cast<size_t>(length); });
  return {std::move(name), std::move(shape), type, items};
}

bool same_layout(const std::vector<Column>& a, const std::vector<Column>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const Column& x, const Column& y) {
    return x.name == y.name && x.shape == y.shape && x.dtype == y.dtype;
  });
}

/// One number of a sample.
double value_at(const uint8_t* from, int8_t type, size_t index) {
  if (type == dtype::kUInt8) return from[index];
  if (type == dtype::kFloat32) return reinterpret_cast<const float*>(from)[index];
  return static_cast<double>(reinterpret_cast<const int64_t*>(from)[index]);
}

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.9g", value);
  return text;
}

}  // namespace

Result<Dataset> Dataset::open(const std::vector<std::string>& paths) {
  Dataset dataset;
  Sha256 hasher;
  for (const auto& path : paths) EDGETRAIN_CHECK(dataset.add(path));
  if (dataset.size_ == 0)
    return bad_input(paths.empty() ? "no data set was named" : paths[0] + " holds no samples");
  for (const Part& part : dataset.parts_) {
    hasher.update(part.file.data(), part.file.size());
    part.file.release_pages();
  }
  dataset.fingerprint_ = hex(hasher.finish());
  return dataset;
}

Status Dataset::add(const std::string& path) {
  EDGETRAIN_CHECK(recover(path));
  EDGETRAIN_TAKE(MappedFile file, MappedFile::open(path));
  if (file.size() >= 8 && std::memcmp(file.data() + 4, "FT01", 4) == 0) return add_packed(path);
  if (file.size() > 0 && file.size() % kRecordBytes == 0) return add_records(std::move(file));
  return bad_input({path, " is neither a packed .ptd nor whole CIFAR-10 records of 3073 bytes"});
}

Status Dataset::add_packed(const std::string& path) {
  EDGETRAIN_TAKE(TensorFile tensors, TensorFile::open(path));
  EDGETRAIN_CHECK(add_manifest(path));
  const int64_t count =
      tensors.entries().empty() || tensors.entries()[0].shape.empty() ? -1 : tensors.entries()[0].shape[0];
  std::vector<Column> columns;
  std::vector<size_t> offsets, strides;
  for (const auto& entry : tensors.entries()) {
    const bool usable =
        count >= 0 && !entry.shape.empty() && entry.shape[0] == count &&
        (entry.dtype == dtype::kUInt8 || entry.dtype == dtype::kFloat32 || entry.dtype == dtype::kInt64);
    if (!usable) break;
    columns.push_back(column(entry.name, {entry.shape.begin() + 1, entry.shape.end()}, entry.dtype));
    offsets.push_back(entry.offset);
    strides.push_back(count ? entry.size / static_cast<size_t>(count) : 0);
  }
  if (columns.empty() || columns.size() != tensors.entries().size()) {
    return bad_input({path,
                      " is no packed data set: all its tensors must be uint8, float32 or int64 with one row "
                      "per sample"});
  }
  MappedFile file = std::move(tensors).take_file();
  std::vector<const uint8_t*> starts;
  for (const size_t offset : offsets) starts.push_back(file.data() + offset);
  return add_part({std::move(file), static_cast<size_t>(count), std::move(starts), std::move(strides)},
                  std::move(columns));
}

Status Dataset::add_manifest(const std::string& path) {
  const std::string beside = manifest_path(path);
  if (!file_exists(beside)) return {};
  EDGETRAIN_TAKE(DatasetManifest found, load_dataset_manifest(beside));
  EDGETRAIN_CHECK(check_file(path, found.file));
  if (manifest_ &&
      !(manifest_->preprocessing == found.preprocessing && manifest_->classes == found.classes)) {
    return bad_input({beside, " has other classes or another preprocessing than the data named before it"});
  }
  manifest_ = std::move(found);
  return {};
}

Status Dataset::add_records(MappedFile file) {
  const uint8_t* data = file.data();
  const size_t count = file.size() / kRecordBytes;
  for (size_t i = 0; i < count; ++i) {
    if (data[i * kRecordBytes] > 9) {
      return bad_input(
          {file.path(), " is no CIFAR-10 file: record ", i, " has class ", data[i * kRecordBytes]});
    }
  }
  return add_part({std::move(file), count, {data + 1, data}, {kRecordBytes, kRecordBytes}},
                  {column("inputs", {3, 32, 32}, dtype::kUInt8), column("targets", {}, dtype::kUInt8)});
}

Status Dataset::add_part(Part part, std::vector<Column> columns) {
  if (!parts_.empty() && !same_layout(columns, columns_)) {
    return bad_input({part.file.path(), " is laid out differently from ", parts_[0].file.path()});
  }
  if (part.count > UINT32_MAX - size_) return bad_input({part.file.path(), " makes the data set too large"});
  columns_ = std::move(columns);
  size_ += part.count;
  parts_.push_back(std::move(part));
  return {};
}

const Column* Dataset::find(const std::string& name) const {
  const auto found =
      std::find_if(columns_.begin(), columns_.end(), [&name](const Column& c) { return c.name == name; });
  return found == columns_.end() ? nullptr : &*found;
}

const uint8_t* Dataset::at(const Column& column, size_t sample) const {
  const auto index = static_cast<size_t>(&column - columns_.data());
  for (const Part& part : parts_) {
    if (sample < part.count) return part.columns[index] + sample * part.strides[index];
    sample -= part.count;
  }
  return nullptr;  // not reached: callers stay below size()
}

Status Dataset::check_fits(const Contract& contract) const {
  for (const auto& arguments : {contract.inputs(), contract.targets()}) {
    for (const Argument* argument : arguments) EDGETRAIN_CHECK(check_column(*argument));
  }
  return {};
}

Status Dataset::check_column(const Argument& argument) const {
  const std::string& path = parts_[0].file.path();
  const Column* column = find(argument.name);
  const std::string wanted = argument.name + " " + describe(argument.shape, argument.dtype);
  if (column == nullptr) {
    std::string names;
    for (const auto& known : columns_) names += (names.empty() ? "" : ", ") + known.name;
    return bad_input({path, " has ", names, "; the program takes ", wanted});
  }
  // Bytes become the numbers that the program takes; other than them, numbers of a target are what they are.
  const bool fits = column->shape == argument.shape && argument.has_batch &&
                    (argument.dtype == dtype::kFloat32 || argument.dtype == dtype::kInt64) &&
                    (column->dtype == argument.dtype ||
                     (column->dtype == dtype::kUInt8 &&
                      (argument.dtype == dtype::kInt64 || argument.role == Role::kInput)));
  if (!fits) {
    return bad_input({path, " has ", argument.name, " ", describe(column->shape, column->dtype),
                      ", the program takes ", wanted});
  }
  return check_values(argument, *column);
}

Status Dataset::check_values(const Argument& argument, const Column& column) const {
  if (!argument.least && !argument.most) return {};
  for (const Part& part : parts_) {
    const auto index = static_cast<size_t>(&column - columns_.data());
    for (size_t sample = 0; sample < part.count; ++sample) {
      const uint8_t* from = part.columns[index] + sample * part.strides[index];
      for (size_t i = 0; i < column.items; ++i) {
        const double value = value_at(from, column.dtype, i);
        const bool inside = !(argument.least && !(value >= *argument.least)) &&
                            !(argument.most && !(value <= *argument.most));
        if (inside || (argument.ignored && value == *argument.ignored)) continue;
        return bad_input({part.file.path(), ": sample ", sample, " has ", argument.name, " ",
                          number_text(value), ", the program takes ",
                          (argument.least ? number_text(*argument.least) : "any"), " to ",
                          (argument.most ? number_text(*argument.most) : "any"),
                          (argument.ignored ? ", or " + number_text(*argument.ignored) : "")});
      }
    }
    part.file.release_pages();
  }
  return {};
}

}  // namespace edgetrain
