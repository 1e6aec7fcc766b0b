"""The arithmetic of one parameter's update, with torch.optim's meaning of every value.

Each rule returns the new contents of what it changed, the parameter first. A gradient that is one matrix
product is never made where a rule can do without: the product is added straight onto a momentum or a weight.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch.fx import Node

from ...artifacts.run_state import FIRST, SECOND
from ...config.optimizer import OptimizerConfig
from ...engine.optimizers import rate_share
from ...upstream.edge import edge_operators
from .scalars import Scalar, less, over, times
from .state import SUM
from .writer import Writer

edge = edge_operators().aten


@dataclass(frozen=True)
class Update:
    """One parameter's.

    Attributes:
        name: the parameter's.
        gradient: a node of the parameter's shape.
        factor: what the gradient is multiplied by to be that of the step.
    """

    name: str
    gradient: Node
    factor: Scalar = 1.0


def write_update(config: OptimizerConfig, write: Writer, update: Update) -> list[Node]:
    """The update of an optimizer of `torch.optim`."""
    if config.name != "sgd":
        return _adam(config, write, update)
    return _momentum(config, write, update) if config.momentum else _sgd(config, write, update)


def write_sum(write: Writer, update: Update) -> list[Node]:
    """The gradient is added to those of the other parts of its batch. `keep` is 0 for the first part."""
    total = write.tensor(SUM + update.name)
    return [_accumulated(write, update, total, total, "keep", update.factor)]


def _rate(config: OptimizerConfig, name: str) -> Scalar:
    return times("learning_rate", rate_share(config, name))


def _accumulated(
    write: Writer, update: Update, start: Node, onto: Node, kept: Scalar, factor: Scalar
) -> Node:
    """kept * start + factor * gradient, onto a tensor."""
    product = write.product(update.gradient)
    if product is not None:
        return write.plus_product(start, product, kept, factor, onto)
    if factor == 1.0:
        return write.plus(update.gradient, start, kept, onto)
    start = write.scaled(start, kept, onto)
    return write.plus(start, update.gradient, factor, onto)


def _sgd(config: OptimizerConfig, write: Writer, update: Update) -> list[Node]:
    weight, rate = write.tensor(update.name), _rate(config, update.name)
    kept: Scalar = less(1.0, times(rate, config.weight_decay)) if config.weight_decay else 1.0
    product = write.product(update.gradient)
    if product is not None:
        factor = times(times(rate, update.factor), -1.0)
        return [write.plus_product(weight, product, kept, factor, weight)]
    start = write.scaled(weight, kept, weight)
    return [write.minus(start, update.gradient, times(rate, update.factor), weight)]


def _momentum(config: OptimizerConfig, write: Writer, update: Update) -> list[Node]:
    weight, rate = write.tensor(update.name), _rate(config, update.name)
    buffer = write.tensor(FIRST + update.name)
    share: Scalar = "gradient_share" if config.dampening else 1.0
    kept, momentum, current = config.momentum, buffer, weight
    if config.weight_decay or config.nesterov:
        momentum, kept = write.scaled(buffer, config.momentum, buffer), 1.0
    if config.weight_decay:
        momentum = write.plus(momentum, weight, times(share, config.weight_decay), buffer)
    if config.nesterov:
        # The weight goes along gradient + momentum * buffer. The gradient isn't there, but it is what the
        # buffer is about to grow by.
        if config.weight_decay:
            current = write.scaled(current, less(1.0, times(rate, config.weight_decay)), weight)
        current = write.plus(current, momentum, rate, weight)
    momentum = _accumulated(write, update, momentum, buffer, kept, times(share, update.factor))
    along = times(rate, 1.0 + config.momentum) if config.nesterov else rate
    return [write.minus(current, momentum, along, weight), momentum]


def _adam(config: OptimizerConfig, write: Writer, update: Update) -> list[Node]:
    """Kingma and Ba 2015 (arXiv:1412.6980); with decoupled decay Loshchilov and Hutter 2019
    (arXiv:1711.05101). Both moments need the gradient itself."""
    weight, rate = write.tensor(update.name), _rate(config, update.name)
    first, second = write.tensor(FIRST + update.name), write.tensor(SECOND + update.name)
    gradient, current = write.scaled(update.gradient, update.factor), weight
    if config.weight_decay and config.name == "adam":
        gradient = write.plus(gradient, weight, config.weight_decay)
    elif config.weight_decay:
        current = write.scaled(weight, less(1.0, times(rate, config.weight_decay)), weight)
    mean = write.scaled(first, config.beta1, first)
    mean = write.plus(mean, gradient, 1.0 - config.beta1, first)
    squares = write.make(edge.mul.Tensor, gradient, gradient, like=gradient)
    variance = write.scaled(second, config.beta2, second)
    variance = write.plus(variance, squares, 1.0 - config.beta2, second)
    root = write.make(edge.sqrt.default, variance, like=weight)
    correction = write.tensor("bias_correction2")
    correction = write.make(edge.sqrt.default, correction, like=correction)
    root = write.make(edge.div.Tensor, root, correction, like=root)
    root = write.make(edge.add.Scalar, root, like=root, scalars={1: config.eps})
    step = write.make(edge.div.Tensor, mean, root, like=root)
    changed = write.minus(current, step, over(rate, "bias_correction1"), weight)
    return [changed, mean, variance]
