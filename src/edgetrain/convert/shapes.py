"""What a model takes, found from its first weights and confirmed by running it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..errors import InputError, UsageError
from ..models.input_names import input_names
from .calling import Called, Manner, flat_outputs, takes_mapping
from .source import Runnable, Source
from .specs import ModelInput

_BATCH = 2
# Sizes that models are captured with.
_FIXED_BATCHES = (1, 4, 8, 16, 32, 64)
_LARGEST_IMAGE = 512
_LARGEST_LENGTH = 16384
_SEQUENCES = (4, 8, 12, 16, 24, 32, 48, 64, 100, 128, 196, 256, 512)
_MISFIT = re.compile(r"mat1 and mat2 shapes cannot be multiplied \(\d+x(\d+) and (\d+)x\d+\)")
_VIEW = re.compile(r"shape '\[([-\d, ]+)\]' is invalid for input of size (\d+)")
# Worded as PyTorch words a view that doesn't fit, since it tells as much about sizes.
_OTHER_ROWS = "shape '[-1, 1]' is invalid for input of size "
_LACKING = re.compile(r"missing (?:value for|\d+ required positional) arguments?:? '(\w+)'")
_FLAG = "--input-shape"
# What models raise on inputs that aren't theirs; RuntimeError is also NotImplementedError.
_FAILURES = (RuntimeError, ValueError, TypeError, LookupError, AssertionError, torch.jit.Error)

# Size → below 0 where it is too small, above where it is too large, 0 where it fits, None if unclear.
Trial = Callable[[int], int | None]


class _OutdatedModuleError(Exception):
    """A layer lacks an attribute that its own code reads."""


def find_inputs(source: Source, given: Sequence[ModelInput], origin: str) -> dict[str, ModelInput]:
    """What a model takes, without batch, by name.

    Args:
        given: from `--input-shape`; they win.
        origin: the file, for messages.
    Raises:
        UsageError: it can't be told from the file alone, or several sizes fit; those are listed.
        InputError: the model fails on the inputs it says it takes, or on any.
    """
    try:
        return _find_inputs(source, given, origin)
    except _OutdatedModuleError as error:
        kind = type(source.reference)
        builder = f"{kind.__module__}:{kind.__qualname__}"
        if source.format != "pickled module" or kind.__module__.startswith("torch."):
            builder = "package.module:factory"
        raise InputError(
            f"{origin} was saved by another version of its code than is here: {error}; have its weights "
            f"alone, in a model that this code builds: --model {builder}"
        ) from error


def _find_inputs(source: Source, given: Sequence[ModelInput], origin: str) -> dict[str, ModelInput]:
    known = _named(source, given) if given else source.inputs
    if known:
        problem = _find_batch(source, list(known.values()))
        if problem is not None:
            how = f"{_FLAG} says" if given else "it says"
            shapes = ", ".join(shape_text(spec) for spec in known.values())
            said = f"{_said(problem)}{_way_out(source, known, problem)}"
            raise (UsageError if given else InputError)(
                f"{origin} fails on the inputs {how}, {shapes}: {said}"
            )
        return known
    for candidates in _candidates(source.run, source.state):
        if len(candidates) == 1:
            return _named(source, candidates)
        if candidates:
            shown = ", ".join(shape_text(c) for c in candidates[:6])
            more = f" and {len(candidates) - 6} more" if len(candidates) > 6 else ""
            middle = shape_text(candidates[len(candidates) // 2])
            # Such sizes were tried, and nothing in the model forbids others.
            first, last = (math.prod(candidates[at].shape) for at in (0, -1))
            all_of_them = ":" if last < 2 * first else ", among them"
            raise UsageError(
                f"{origin} takes inputs of several shapes{all_of_them} {shown}{more}; choose with {_FLAG} "
                f"{middle}"
            )
    raise UsageError(f"what {origin} takes can't be told from its weights; say so, as in {_FLAG} 3,32,32")


def _said(problem: str) -> str:
    if not problem.startswith(_OTHER_ROWS):
        return problem
    return f"its first output has {problem.removeprefix(_OTHER_ROWS)} rows for a batch of {_BATCH}"


def _way_out(source: Source, inputs: Mapping[str, ModelInput], problem: str) -> str:
    """What to do about a model that is called in another way than with batches of tensors, in their order."""
    manner = source.called.manner if source.called is not None else Manner()
    first = shape_text(next(iter(inputs.values())))
    if not manner.names and takes_mapping(source.reference):
        return f"; it takes its inputs by name: {_FLAG} NAME={first}"
    lacking = _LACKING.search(problem)
    if lacking:
        return (
            f"; fix an argument with --input-value {lacking[1]}=VALUE, or add its {_FLAG} if it is an input "
            f"({lacking[1]}.0=SHAPE and {lacking[1]}.1=SHAPE for a tuple of two)"
        )
    if problem.startswith("'Tensor' object has no attribute"):
        return "; it takes other objects than tensors: name a model of your own that makes them of tensors"
    alone = Called(source.reference, replace(manner, batched=False))
    if manner.batched and run_once(alone, list(inputs.values()), 1) is None:
        return "; without a batch it takes them: add --no-batched"
    whole = [replace(spec, shape=(1, *spec.shape)) for spec in inputs.values()]
    if manner.batched and problem.startswith(_OTHER_ROWS) and run_once(alone, whole, 1) is None:
        shapes = " ".join(f"{_FLAG} {shape_text(spec)}" for spec in whole)
        return f"; for single samples, say their whole shape: --no-batched {shapes}"
    return ""


def _named(source: Source, specs: Sequence[ModelInput]) -> dict[str, ModelInput]:
    """Specs with names and preparation, which are the source's own where it says so for as many inputs."""
    known = source.inputs or {}
    manner = source.called.manner if source.called is not None else Manner()
    if len(known) != len(specs) or manner.names:
        in_graphs = [name.replace(".", "_") for name in manner.names]
        names = in_graphs or input_names(source.reference, len(specs), without=manner.values)
        return {
            name: ModelInput(shape=spec.shape, dtype=spec.dtype)
            for name, spec in zip(names, specs, strict=True)
        }
    return {
        name: ModelInput(shape=spec.shape, dtype=spec.dtype, preprocessing=own.preprocessing)
        for (name, own), spec in zip(known.items(), specs, strict=True)
    }


def _find_batch(source: Source, specs: Sequence[ModelInput]) -> str | None:
    """Runs the source; where it takes one batch size only, notes which. Returns what went wrong, or None."""
    problem = run_once(source.run, specs, source.batch)
    if problem is None or source.batch is not None:
        return problem
    source.batch = next((n for n in _FIXED_BATCHES if run_once(source.run, specs, n) is None), None)
    return problem if source.batch is None else None


def shape_text(spec: ModelInput) -> str:
    """The shape as `--input-shape` takes it."""
    text = ",".join(map(str, spec.shape))
    return text if spec.dtype == "float32" else f"{text}:{spec.dtype}"


def run_once(model: Runnable, specs: Sequence[ModelInput], batch: int | None = None) -> str | None:
    """Runs a model on zeros; returns what went wrong, or None."""
    size = batch or _BATCH
    inputs = [torch.zeros(size, *spec.shape, dtype=spec.torch_dtype) for spec in specs]
    try:
        with torch.no_grad():
            outputs = list(flat_outputs(model(*inputs)).values())
    except AttributeError as error:
        if isinstance(getattr(error, "obj", None), nn.Module):
            raise _OutdatedModuleError(str(error)) from error
        return str(error)
    except _FAILURES as error:
        if "can't allocate memory" in str(error):
            raise
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return lines[-1] if lines else type(error).__name__
    if not outputs:
        return "it returns no tensor"
    if outputs[0].dim() and outputs[0].shape[0] != size:
        return _OTHER_ROWS + str(outputs[0].shape[0])
    return None


def _candidates(model: Runnable, state: Mapping[str, Tensor]) -> Iterator[list[ModelInput]]:
    """Shapes that run, the likeliest kind of input first; an empty list where none of a kind does."""
    first = next(((name, t) for name, t in state.items() if t.dim() >= 2), None)
    if first is None:
        return
    name, weight = first
    features = weight.shape[1]
    if weight.dim() == 4:
        yield _sized(model, lambda size: (features, size, size), _LARGEST_IMAGE)
    elif weight.dim() == 3 and not name.endswith(("in_proj_weight", "pos_embedding", "pos_embed")):
        yield _sized(model, lambda size: (features, size), _LARGEST_LENGTH)
    elif "weight_ih_l0" in name:
        yield _listed(model, [ModelInput(shape=(length, features)) for length in _SEQUENCES])
    elif weight.dim() == 2:
        yield _listed(model, [ModelInput(shape=(features,))])
        yield _listed(model, [ModelInput(shape=(length,), dtype="int64") for length in _SEQUENCES])
        yield _listed(model, [ModelInput(shape=(length, features)) for length in _SEQUENCES])


def _listed(model: Runnable, specs: list[ModelInput]) -> list[ModelInput]:
    return [spec for spec in specs if run_once(model, [spec]) is None]


def _sized(model: Runnable, shape: Callable[[int], tuple[int, ...]], largest: int) -> list[ModelInput]:
    """All sizes that fit, by bisection: what a linear layer gets grows with the size. Where half of one fits
    as well, nothing in the model says which is meant, and those two are enough."""

    def trial(size: int) -> int | None:
        problem = run_once(model, [ModelInput(shape=shape(size))])
        return _verdict(problem)

    fits = _first_fit(trial, largest)
    if fits is None:
        return []
    if trial(fits // 2) == 0:
        return [ModelInput(shape=shape(size)) for size in (fits // 2, fits)]
    low = _edge(trial, fits, 1)
    high = _edge(trial, fits, largest)
    return [ModelInput(shape=shape(size)) for size in range(low, high + 1)]


def _first_fit(trial: Trial, largest: int) -> int | None:
    low, high = 1, largest
    while low <= high:
        middle = (low + high) // 2
        verdict = trial(middle)
        if verdict == 0:
            return middle
        if verdict is None:
            return None
        low, high = (middle + 1, high) if verdict < 0 else (low, middle - 1)
    return None


def _edge(trial: Trial, inside: int, end: int) -> int:
    """The size farthest from `inside` towards `end` that still fits."""
    outside = end + 1 if end > inside else end - 1
    while abs(outside - inside) > 1:
        middle = (inside + outside) // 2
        inside, outside = (middle, outside) if trial(middle) == 0 else (inside, middle)
    return inside


def _verdict(problem: str | None) -> int | None:
    if problem is None:
        return 0
    misfit = _MISFIT.search(problem)
    if misfit:
        return int(misfit[1]) - int(misfit[2])
    view = _VIEW.search(problem)
    if view:
        wanted = 1
        for length in view[1].split(","):
            wanted *= max(1, int(length))
        return int(view[2]) - _BATCH * wanted
    too_small = (
        "too small",
        "kernel size can't be greater",
        "Kernel size can't be greater",
        "greater than 0",
    )
    return -1 if any(word in problem for word in too_small) else None
