// Trains a program of `edgetrain export` in an Android app, with the training classes of ExecuTorch's library.

import org.pytorch.executorch.EValue
import org.pytorch.executorch.Tensor
import org.pytorch.executorch.training.SGD
import org.pytorch.executorch.training.TrainingModule

/** Samples as model.json wants them: normalised pixels [size, 1, 8, 8], and their classes [size]. */
class Batch(val pixels: FloatArray, val labels: LongArray)

/** Trains on the batches; returns each step's loss, and the parameters as they are then. */
fun train(folder: String, batches: List<Batch>): Pair<List<Float>, Map<String, FloatArray>> {
    TrainingModule.load("$folder/model.pte", "$folder/model.ptd").use { module ->
        val sgd = SGD.create(module.namedParameters("gradients"), 0.02, 0.9, 0.0, 0.0, false)
        val losses = batches.map { batch ->
            val size = batch.labels.size.toLong()
            val inputs = EValue.from(Tensor.fromBlob(batch.pixels, longArrayOf(size, 1, 8, 8)))
            val targets = EValue.from(Tensor.fromBlob(batch.labels, longArrayOf(size)))
            // What model.json lists for this method, up to the gradients: loss, classes, sums of the metrics.
            val outputs = module.executeForwardBackward("gradients", inputs, targets)
            sgd.step(module.namedGradients("gradients"))
            outputs[0].toTensor().dataAsFloatArray[0]
        }
        return Pair(losses, module.namedParameters("gradients").mapValues { it.value.dataAsFloatArray })
    }
}
