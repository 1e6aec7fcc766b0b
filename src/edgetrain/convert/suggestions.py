"""Which known architectures a state_dict without a model looks like."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from importlib.util import find_spec

from torch import Tensor

from .architecture_table import Architecture, known_architectures, likeness, sketches_of

_LIKE_ENOUGH = 0.5
# Of those with other shapes, only the names say something.
_SAME_SHAPES = 0.7
_MOST = 3
# What is much less like the weights than the best isn't said.
_NEARLY = 0.9
# What wrappers put in front of names has one part or two.
_PARTS = 3
_SHOWN = 4


def suggest_models(state: Mapping[str, Tensor]) -> list[str]:
    """The models of installed libraries whose names and shapes are nearest, the best first, as flags of
    `convert`."""
    views = [
        (*sketches_of(shapes), shapes)
        for prefix in _prefixes(state)
        if (
            shapes := {
                k.removeprefix(prefix): tuple(t.shape) for k, t in state.items() if k.startswith(prefix)
            }
        )
    ]
    scored: list[tuple[float, str]] = []
    for known in known_architectures():
        if known.model.startswith("timm:") and find_spec("timm") is None:
            continue
        best = max(
            (
                (likeness(names, known.names), likeness(sizes, known.shapes), index)
                for index, (names, sizes, _) in enumerate(views)
            ),
            default=None,
        )
        if best is not None and sum(best[:2]) / 2 >= _LIKE_ENOUGH:
            shapes = views[best[2]][2]
            scored.append((sum(best[:2]), _flags(known, shapes, same=best[1] >= _SAME_SHAPES)))
    scored.sort(key=lambda item: -item[0])
    return [flags for score, flags in scored[:_MOST] if score >= _NEARLY * scored[0][0]]


def describe_weights(state: Mapping[str, Tensor]) -> str:
    """How many tensors there are, and the first and the last of them."""
    shown = [f"{name} {list(tensor.shape)}" for name, tensor in state.items()]
    if len(shown) > _SHOWN:
        shown = [*shown[: _SHOWN // 2], "...", *shown[-_SHOWN // 2 :]]
    return f"{len(state)} tensor{'' if len(state) == 1 else 's'} ({', '.join(shown)})"


def _prefixes(state: Mapping[str, Tensor]) -> list[str]:
    """What may stand in front of the names that a model itself gives."""
    counts = Counter(
        "".join(f"{part}." for part in key.split(".")[:parts]) for key in state for parts in range(_PARTS)
    )
    return [prefix for prefix, count in counts.items() if 2 * count >= len(state)]


def _flags(known: Architecture, shapes: Mapping[str, tuple[int, ...]], *, same: bool) -> str:
    """The flags, with the number of classes where the last layer has another."""
    classes = shapes.get(known.head, (known.classes,))[0]
    head = f" --model-arg num_classes={classes}" if same and classes != known.classes else ""
    image = f" --input-shape {known.image}" if known.image else ""
    return f"{known.flags}{head}{image}"
