// Trains a program that `edgetrain export` wrote with nothing but ExecuTorch:
// on_device PROGRAM.pte WEIGHTS.ptd DATA.ptd OUTPUT.ptd graph|own. DATA.ptd
// comes from `edgetrain pack --data digits`. Prints each step's loss.

#include <executorch/extension/data_loader/buffer_data_loader.h>
#include <executorch/extension/flat_tensor/flat_tensor_data_map.h>
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

using executorch::aten::ScalarType;
using executorch::extension::BufferDataLoader;
using executorch::extension::FlatTensorDataMap;
using executorch::extension::from_blob;
using executorch::extension::Module;
using executorch::runtime::Error;
using executorch::runtime::EValue;
using executorch::runtime::Result;

namespace {

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "%s\n", what.c_str());
  std::exit(1);
}

template <typename T>
T take(Result<T> result, const std::string& what) {
  if (!result.ok()) fail(what + " failed with error " + std::to_string(static_cast<int>(result.error())));
  return std::move(result.get());
}

std::vector<char> read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(path + " can't be read");
  return {std::istreambuf_iterator<char>(file), {}};
}

// What the app has gathered, as model.json wants it: float32 [N, 1, 8, 8] and
// int64 [N].
struct Samples {
  std::vector<float> inputs;
  std::vector<int64_t> targets;
};

Samples read_samples(const std::string& path) {
  const std::vector<char> file = read(path);
  BufferDataLoader loader(file.data(), file.size());
  const FlatTensorDataMap map = take(FlatTensorDataMap::load(&loader), "reading " + path);
  const auto pixels = take(map.get_data("inputs"), "reading inputs");
  const auto labels = take(map.get_data("targets"), "reading targets");
  Samples samples;
  const auto* first = static_cast<const uint8_t*>(pixels.data());
  for (size_t i = 0; i < pixels.size(); ++i) {
    // model.json, inputs.inputs.preprocessing: scale, mean, std.
    samples.inputs.push_back((static_cast<float>(first[i]) / 255.0f - 0.3053f) / 0.3759f);
  }
  samples.targets.resize(labels.size() / sizeof(int64_t));
  std::memcpy(samples.targets.data(), labels.data(), labels.size());
  return samples;
}

// One step of the optimizer that the program was exported with.
float step_in_graph(Module& module, const EValue& inputs, const EValue& targets, float learning_rate) {
  auto rate = from_blob(&learning_rate, {});
  const auto outputs =
      take(module.execute("train", std::vector<EValue>{inputs, targets, EValue(*rate)}), "train");
  return outputs[0].toTensor().const_data_ptr<float>()[0];
}

// One step of plain gradient descent, written out. The program says at which
// output its gradients and its parameters begin; they follow in the same order.
float step_outside(Module& module, const EValue& inputs, const EValue& targets, float learning_rate) {
  const auto gradients = take(module.execute("__et_training_gradients_index_gradients"), "gradients' index");
  const auto parameters =
      take(module.execute("__et_training_parameters_index_gradients"), "parameters' index");
  const size_t first_gradient = gradients[0].toInt(), first_parameter = parameters[0].toInt();
  const auto outputs = take(module.execute("gradients", std::vector<EValue>{inputs, targets}), "gradients");
  for (size_t i = first_gradient; i < first_parameter; ++i) {
    const auto gradient = outputs[i].toTensor();
    auto parameter = outputs[first_parameter + i - first_gradient].toTensor();
    // The parameter is the program's own memory: changing it trains.
    auto* w = parameter.mutable_data_ptr<float>();
    const auto* g = gradient.const_data_ptr<float>();
    for (ssize_t j = 0; j < parameter.numel(); ++j) w[j] -= learning_rate * g[j];
  }
  return outputs[0].toTensor().const_data_ptr<float>()[0];
}

// The weights as they are now, in a copy of the file they came from. What
// `weights` returns stands in model.json; parameters come first, in the order
// of their names here.
void save_weights(Module& module, const std::string& from, const std::string& to) {
  std::vector<char> file = read(from);
  BufferDataLoader loader(file.data(), file.size());
  const FlatTensorDataMap map = take(FlatTensorDataMap::load(&loader), "reading " + from);
  const auto names = take(module.execute("__et_training_fqn_gradients"), "names");
  const auto weights = take(module.execute("weights"), "weights");
  for (size_t i = 0; i < names.size(); ++i) {
    const auto weight = weights[i].toTensor();
    const auto place = take(map.get_data(names[i].toString()), "finding a weight");
    if (place.size() != weight.nbytes()) fail("a weight has another size than in " + from);
    const auto offset = static_cast<const char*>(place.data()) - file.data();
    std::memcpy(file.data() + offset, weight.const_data_ptr(), weight.nbytes());
  }
  // Under another name first, so that `to` is whole at any moment. (Sync the
  // file to disk before, in an app.)
  const std::string whole = to + ".part";
  std::ofstream out(whole, std::ios::binary);
  out.write(file.data(), static_cast<std::streamsize>(file.size()));
  out.close();
  if (!out || std::rename(whole.c_str(), to.c_str()) != 0) fail(to + " can't be written");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6)
    fail(
        "usage: on_device PROGRAM.pte WEIGHTS.ptd DATA.ptd OUTPUT.ptd "
        "graph|own");
  const bool own = std::string(argv[5]) == "own";
  Samples samples = read_samples(argv[3]);

  Module module(argv[1], std::vector<std::string>{argv[2]}, Module::LoadMode::File, nullptr, nullptr, nullptr,
                /*share_memory_arenas=*/true);
  // All of them before the first step, since loading one resets the weights.
  for (const char* name : {own ? "gradients" : "train", "evaluate", "weights"}) {
    if (module.load_method(name) != Error::Ok) fail(std::string(name) + " can't be loaded");
  }
  constexpr int batch_size = 32;  // at most what it was exported for
  const int count = static_cast<int>(samples.targets.size());
  for (int at = 0; at < count; at += batch_size) {
    const int size = std::min(batch_size, count - at);
    auto inputs = from_blob(samples.inputs.data() + at * 64, {size, 1, 8, 8});
    auto targets = from_blob(samples.targets.data() + at, {size}, ScalarType::Long);
    const auto step = own ? step_outside : step_in_graph;
    std::printf("%g\n", step(module, EValue(*inputs), EValue(*targets), 0.02f));
  }
  // `evaluate` sees what was learned.
  const int size = std::min(batch_size, count);
  auto inputs = from_blob(samples.inputs.data(), {size, 1, 8, 8});
  auto targets = from_blob(samples.targets.data(), {size}, ScalarType::Long);
  const auto outputs =
      take(module.execute("evaluate", std::vector<EValue>{EValue(*inputs), EValue(*targets)}), "evaluate");
  std::printf("first batch afterwards: %g\n", outputs[0].toTensor().const_data_ptr<float>()[0]);
  save_weights(module, argv[2], argv[4]);
  return 0;
}
