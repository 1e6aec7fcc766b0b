"""Known architectures by sketches of their names and shapes: what `suggestions.py` looks weights up in.

`python -m edgetrain.convert.architecture_table` writes the table anew, of torchvision's and timm's models and
those of edgetrain. Building them all takes minutes, and reading the table milliseconds.
"""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

_TABLE = Path(__file__).with_name("known_architectures.json")
# Hashes in a sketch.
_KEPT = 16
# Arguments without defaults; any value shows the names of the parameters.
_ANY: dict[str, dict[str, Any]] = {
    "cnn1d": {"in_channels": 1, "length": 64, "num_classes": 2},
    "mlp": {"in_features": 4, "num_classes": 2},
    "text_transformer": {"vocabulary": 8, "length": 16, "num_classes": 8},
}
# Counters that tell nothing of an architecture, and that older files lack.
_COUNTERS = "num_batches_tracked"


@dataclass(frozen=True)
class Architecture:
    """One model.

    Attributes:
        model: as in `mlp`, `torchvision:resnet18` or `timm:resnet18`.
        names, shapes: sketches of the names, and of names with shapes.
        head: the weight of the last layer.
        classes: its rows.
        image: what `--input-shape` takes; None where it is known without.
    """

    model: str
    names: str
    shapes: str
    head: str
    classes: int
    image: str | None

    @property
    def flags(self) -> str:
        """Those of `edgetrain convert` that name it."""
        library, _, name = self.model.rpartition(":")
        return (
            f"--model timm:create_model --model-arg model_name={name}"
            if library == "timm"
            else f"--model {self.model}"
        )


@cache
def known_architectures() -> tuple[Architecture, ...]:
    """All that the table has."""
    table = json.loads(_TABLE.read_text())
    sketches = table["names"]
    return tuple(
        Architecture(model, sketches[names], *rest) for model, names, *rest in table["architectures"]
    )


def sketches_of(shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, str]:
    """Sketches of the names of some tensors, and of names with shapes."""
    told = {name: shape for name, shape in shapes.items() if not name.endswith(_COUNTERS)}
    return _sketch(told), _sketch(f"{name} {list(shape)}" for name, shape in told.items())


def likeness(ours: str, theirs: str) -> float:
    """How many of all texts two sets share, estimated from their sketches: 1 for equal ones."""
    a, b = _hashes(ours), _hashes(theirs)
    smallest = sorted(a | b)[:_KEPT]
    return sum(value in a and value in b for value in smallest) / max(1, len(smallest))


def _sketch(texts: Iterable[str]) -> str:
    """The smallest hashes of a set of texts."""
    hashes = sorted({zlib.crc32(text.encode()) for text in texts})[:_KEPT]
    return base64.b64encode(struct.pack(f"<{len(hashes)}I", *hashes)).decode()


@cache
def _hashes(sketch: str) -> frozenset[int]:
    packed = base64.b64decode(sketch)
    return frozenset(struct.unpack(f"<{len(packed) // 4}I", packed))


def write_table() -> int:
    """Writes the table, which needs timm beside what edgetrain needs; returns how many models it has."""
    found = _distinct(_built())
    names = list(dict.fromkeys(entry.names for entry in found))
    places = {sketch: index for index, sketch in enumerate(names)}
    entries = [json.dumps(list({**asdict(entry), "names": places[entry.names]}.values())) for entry in found]
    listed = ",\n".join(entries)
    _TABLE.write_text(f'{{"names": {json.dumps(names)},\n"architectures": [\n{listed}\n]}}\n')
    return len(found)


def _distinct(built: Iterable[Architecture]) -> list[Architecture]:
    """All but those of timm that have the weights of another, as far as sketches tell."""
    seen: set[tuple[str, str]] = set()
    found = []
    for entry in built:
        sketches = entry.names, entry.shapes
        if sketches in seen and entry.model.startswith("timm:"):
            continue
        seen.add(sketches)
        found.append(entry)
    return found


def _built() -> Iterator[Architecture]:
    from ..config.model import ModelConfig
    from ..models import build_model
    from ..models.registry import BUILTINS
    from ..models.torchvision_models import PREFIX, torchvision_names
    from ..vision import make_torchvision_importable

    make_torchvision_importable()
    timm: Any = import_module("timm")

    for name in BUILTINS:
        model = ModelConfig(name=name, args=_ANY.get(name, {}))
        yield from _described(name, None, partial(build_model, model))
    for name in torchvision_names():
        model = ModelConfig(name=PREFIX + name)
        yield from _described(model.name, "3,224,224", partial(build_model, model))
    for name in timm.list_models():
        size = timm.get_pretrained_cfg(name)
        shape = ",".join(map(str, size.input_size if size else (3, 224, 224)))
        yield from _described(f"timm:{name}", shape, partial(timm.create_model, name))


def _described(model: str, image: str | None, build: Callable[[], Any]) -> Iterator[Architecture]:
    """One model, built without memory where that is possible; nothing where it has no layer with a matrix."""
    import torch

    try:
        with torch.device("meta"), _unfilled():
            state = build().state_dict()
    except Exception:  # it may want the numbers
        state = build().state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    heads = [name for name, shape in shapes.items() if name.endswith("weight") and len(shape) > 1]
    if heads:
        yield Architecture(model, *sketches_of(shapes), heads[-1], shapes[heads[-1]][0], image)


def _unfilled() -> Any:
    """A context in which tensors aren't filled with numbers, which takes most of the time of building one
    without memory."""
    from torch import Tensor
    from torch.overrides import TorchFunctionMode

    class Unfilled(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = getattr(function, "__name__", "")
            if name.endswith("_") and not name.startswith("_") and args and isinstance(args[0], Tensor):
                return args[0]
            return function(*args, **(kwargs or {}))

    return Unfilled()


if __name__ == "__main__":
    print(f"{_TABLE.name}: {write_table()} architectures")
