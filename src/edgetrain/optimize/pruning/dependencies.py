"""Which channels of a model belong together, as torch-pruning follows them through its graph.

A channel that is left out of one layer's results has to be left out of everything that reads or adds to it:
norms, depthwise convolutions, the other summand of a residual, the next layers' inputs.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import UsageError
from ...models.calling import call_model
from ...upstream.values import leaves
from .importance import Importance, Scores

_CONVOLUTIONS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)
_ROOTS = (*_CONVOLUTIONS, nn.Linear)


@dataclass(frozen=True)
class ChannelGroup:
    """Channels that are pruned together, over all layers that have them.

    Attributes:
        layer: whose output channels they are.
        blocks: of how many equal blocks the same channels have to go, as of a convolution with groups.
        scores: importance of a block's channels, 1 on average, [channels / blocks].
    """

    layer: str
    blocks: int
    scores: Tensor

    @property
    def channels(self) -> int:
        return len(self.scores) * self.blocks

    def in_all_blocks(self, indices: Sequence[int]) -> list[int]:
        """Channels of a block → those of all blocks, ascending."""
        return [block * len(self.scores) + i for block in range(self.blocks) for i in sorted(indices)]


class Dependencies:
    """The dependencies of a model's channels, over a copy of it that `prune` cuts.

    Args:
        inputs: of an example batch, by name.
    Attributes:
        model: the copy, in evaluation mode; its weights are anything but the model's after `groups`.
        left: layers whose channels have to stay, and why.
    Raises:
        UsageError: torch-pruning can't follow the model's channels.
    """

    def __init__(self, model: nn.Module, inputs: Mapping[str, Tensor]) -> None:
        self.model = copy.deepcopy(model).requires_grad_(True)
        self.left: dict[str, str] = {}
        with _quietly(), _explained(), torch.enable_grad():
            import torch_pruning

            self._library: Any = torch_pruning
            self._graph = torch_pruning.DependencyGraph().build_dependency(
                self.model,
                inputs,
                forward_fn=call_model,
                # Behind the last layer, so that what ends there can be told.
                output_transform=lambda outputs: [
                    leaf * 1 for leaf in leaves(outputs) if isinstance(leaf, Tensor) and leaf.requires_grad
                ],
                verbose=False,
            )

    def groups(self, scores: Scores, importance: Importance, skipped: Sequence[str]) -> list[ChannelGroup]:
        """All groups whose channels may go.

        Args:
            scores: importance of all weights, by name.
            skipped: layers whose output channels all stay.
        """
        for name, parameter in self.model.named_parameters():
            parameter.data = scores[name].clone()
        rate = self._library.importance.GroupMagnitudeImportance(p=2 if importance == "magnitude" else 1)
        found = []
        with _quietly(), _explained():
            for group in self._graph.get_all_groups(root_module_types=_ROOTS):
                blocks, layers = _blocks(group), self._layers(group)
                coupled = self._why_left(group, layers, skipped)
                if not coupled and not blocks:
                    coupled = "groups of channels that don't fit each other"
                rated = None if coupled else rate(group)
                if rated is None or len(rated) <= blocks:
                    self._leave(layers, coupled, skipped)
                else:
                    scores_of_block = rated.reshape(blocks, -1).mean(0).nan_to_num(1.0)
                    found.append(ChannelGroup(layers[0], blocks, scores_of_block))
        return found

    def prune(self, layer: str, channels: Sequence[int]) -> None:
        """Cuts output channels of a layer, and all that belongs to them, off the copy."""
        module = self.model.get_submodule(layer)
        with _quietly(), _explained():
            cut = self._graph.get_pruner_of_module(module).prune_out_channels
            self._graph.get_pruning_group(module, cut, list(channels)).prune()

    def _layers(self, group: Any) -> list[str]:
        """The layers whose output channels a group has, the one it was found by first."""
        modules = {
            dependency.target.module: None
            for dependency, _ in group
            if isinstance(dependency.target.module, _ROOTS)
            and self._graph.is_out_channel_pruning_fn(dependency.handler)
        }
        return [self._name_of(module) for module in modules]

    def _why_left(self, group: Any, layers: Sequence[str], skipped: Sequence[str]) -> str:
        """What a group's channels are, too, that they have to stay for."""
        kinds = self._library.ops.OPTYPE
        for dependency, _ in group:
            target = dependency.target
            if target.type == kinds.OUTPUT:
                return "the model's outputs"
            if target.type in (kinds.MHA, kinds.LSTM, kinds.CUSTOMIZED):
                return f"those of {self._name_of(target.module)}"
        return next((f"those of {layer}" for layer in layers if layer in skipped), "")

    def _name_of(self, module: nn.Module) -> str:
        return next(name for name, found in self.model.named_modules() if found is module)

    def _leave(self, layers: Sequence[str], coupled: str, skipped: Sequence[str]) -> None:
        for layer in layers:
            why = f"its channels are {coupled}" if coupled else "it has one channel"
            self.left[layer] = "skipped" if layer in skipped else why


def _blocks(group: Any) -> int:
    """The number of equal blocks a group's channels fall into, those of the layer with the most; 0 where the
    layers disagree about them."""
    counts = set()
    for item in group:
        module = item.dep.target.module
        count = module.num_groups if isinstance(module, nn.GroupNorm) else getattr(module, "groups", 1)
        if isinstance(module, _CONVOLUTIONS) and module.groups == module.out_channels:
            continue  # depthwise: each channel is its own
        if count > 1:
            counts.add(count if list(item.idxs) == list(item.root_idxs) else 0)
    most = max(counts, default=1)
    return most if all(count and most % count == 0 for count in counts) else 0


@contextmanager
def _quietly() -> Iterator[None]:
    """torch-pruning warns of operators it takes for what they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _explained() -> Iterator[None]:
    """Failures of torch-pruning, which raises anything, as one sentence."""
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        layer = _layer_behind(error.__traceback__)
        where = f" behind {layer}" if layer else ""
        raise UsageError(
            f"torch-pruning can't follow this model's channels{where} ({type(error).__name__}: {error}); "
            "prune it unstructured or N:M"
        ) from error


def _layer_behind(trace: TracebackType | None) -> str:
    """The layer before the node that torch-pruning was at when it failed."""
    node: Any = None
    while trace is not None:
        node = trace.tb_frame.f_locals.get("node", node)
        trace = trace.tb_next
    pending, seen = [node], set()
    while pending:
        node = pending.pop(0)
        name = getattr(node, "_name", None)
        if name and isinstance(node.module, nn.Module):
            return str(name)
        if node is not None and id(node) not in seen:
            seen.add(id(node))
            pending += getattr(node, "inputs", [])
    return ""
