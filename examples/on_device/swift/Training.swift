// Trains a program of `edgetrain export` in an app for iOS or macOS, with ExecuTorch's `Module`.

import ExecuTorch

/// Samples as model.json wants them: normalised pixels [size, 1, 8, 8], and their classes [size].
struct Batch {
  let pixels: [Float]
  let labels: [Int64]
}

/// Trains on the batches; returns each step's loss, and what the last step returned.
func train(folder: String, batches: [Batch]) throws -> (losses: [Float], outputs: [Value]) {
  let module = Module(filePath: folder + "/model.pte", dataFilePaths: [folder + "/model.ptd"])
  var losses: [Float] = []
  var outputs: [Value] = []
  for batch in batches {
    let inputs = Tensor<Float>(batch.pixels, shape: [batch.labels.count, 1, 8, 8])
    let targets = Tensor<Int64>(batch.labels, shape: [batch.labels.count])
    outputs = try module.execute("train", inputs, targets, Tensor<Float>(0.02))
    losses.append(try Tensor<Float>(outputs[0]).scalars()[0])
  }
  return (losses, outputs)
}
