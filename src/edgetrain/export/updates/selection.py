"""From rules to what they mean for a model: layers to change, and parameters to train."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from ...artifacts.transforms import Lora, ProgramTransform, SplitOutputs
from ...config.update_rules import Adapter, Trained, UpdateRule
from ...errors import UsageError
from ...models.names import layer_of, matching, own_name
from .layers import check_adaptable, share_of_channels
from .order import blocks_in_order, layers_in_order
from .scheme import Scheme


@dataclass
class Selection:
    """What is trained.

    Attributes:
        transforms: what has to be done to the model's layers first.
        trained: names of the trained parameters in the model that this makes.
    """

    transforms: list[ProgramTransform] = field(default_factory=list)
    trained: set[str] = field(default_factory=set)


def select(model: nn.Module, inputs: Mapping[str, Tensor], scheme: Scheme, allowed: set[str]) -> Selection:
    """Applies rules to a model, which stays as it is.

    Args:
        inputs: of an example batch, by name.
        allowed: names of the parameters that may be trained at all.
    Raises:
        UsageError: a rule fits nothing, or asks for what a layer can't do.
    """
    names = [name for name, _ in model.named_parameters()]
    chosen: dict[str, Trained] = {}
    for rule in scheme.rules:
        for name in _fitting(rule, model, inputs, scheme.origin):
            chosen.setdefault(name, rule.train)
    selection = Selection()
    for layer in dict.fromkeys(map(layer_of, names)):
        own = {name: chosen.get(name, "none") for name in names if layer_of(name) == layer}
        weight = own_name(layer, "weight")
        if weight in names and weight not in allowed:
            own = {name: how for name, how in own.items() if not _is_partial(how)}
        own = {name: how for name, how in own.items() if name in allowed}
        _add_layer(selection, model, layer, own, scheme.origin)
    return selection


def _fitting(rule: UpdateRule, model: nn.Module, inputs: Mapping[str, Tensor], origin: str) -> list[str]:
    """Names of the parameters that a rule is about."""
    names = [name for name, _ in model.named_parameters()]
    if rule.pattern is not None:
        return matching(rule.pattern, names, of_layers=True, origin=f"{origin}: the pattern")
    if rule.last_layers is not None:
        layers = _last(rule.last_layers, layers_in_order(model, inputs), "layers", origin)
        return [name for name in names if layer_of(name) in layers]
    assert rule.last_blocks is not None
    blocks = _last(rule.last_blocks, blocks_in_order(model, inputs), "blocks", origin)
    return [name for name in names if any(name.startswith(f"{block}.") for block in blocks)]


def _last(count: int, ordered: list[str], what: str, origin: str) -> list[str]:
    if count > len(ordered):
        raise UsageError(
            f"{origin}: the model has {len(ordered)} {what} with parameters, not {count}; ask for fewer"
        )
    return ordered[-count:]


def _add_layer(
    selection: Selection, model: nn.Module, layer: str, own: Mapping[str, Trained], origin: str
) -> None:
    """Adds what is trained of one layer.

    Args:
        own: what is to be trained of each of its parameters.
    """
    weight, bias = own_name(layer, "weight"), own_name(layer, "bias")
    whole = {n for n, how in own.items() if how in ("all", 1.0) or (how == "bias" and is_bias(n))}
    of_weight = own.get(weight)
    if _is_partial(of_weight) and isinstance(of_weight, float):
        channels = share_of_channels(model, layer, of_weight, origin)
        selection.transforms.append(SplitOutputs(module=layer, channels=channels))
        parts = ["trained", "frozen"] if bias in whole else ["trained"] if _is_partial(own.get(bias)) else []
        selection.trained |= {f"{layer}.trained.weight", *(f"{layer}.{part}.bias" for part in parts)}
    elif isinstance(of_weight, Adapter):
        check_adaptable(model, layer, origin)
        lora = of_weight.lora
        selection.transforms.append(Lora(module=layer, rank=lora.rank, alpha=lora.alpha))
        selection.trained |= {f"{layer}.lora_a", f"{layer}.lora_b", *whole}
    else:
        partial = next((name for name, how in own.items() if _is_partial(how)), None)
        if partial is not None:
            raise UsageError(
                f"{origin}: {partial} is no weight of a layer, and can't be trained in part; say all or none"
            )
        selection.trained |= whole


def _is_partial(how: Trained | None) -> bool:
    """Whether something else than parameters as they are is trained."""
    return isinstance(how, Adapter) or (isinstance(how, float) and how < 1)


def is_bias(parameter: str) -> bool:
    """Whether a parameter is a bias or the shift of a normalisation, by its name: `bias`, `bias_ih_l0` of
    recurrent layers, `in_proj_bias` of attention."""
    name = parameter.rpartition(".")[2]
    return name == "bias" or name.startswith("bias_") or name.endswith("_bias")
