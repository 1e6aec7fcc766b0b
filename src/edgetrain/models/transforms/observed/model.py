"""A model that computes as its int8 program will, and learns so."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.fx import GraphModule

from ....artifacts.transforms import Observers
from ....upstream.layers import batch_norm_types, copy_contents, share_contents
from ...calling import call_model
from ..zeros import only_nonzero
from .dropouts import drop_dropouts
from .fake_quantize import FakeQuantize
from .norms import fix_norms

# The module that has all that the float model hasn't.
OBSERVERS = "observers"


class ObservedModel(nn.Module):
    """Called as the model it was made of, with the same parameters and buffers by the same names, and with
    what its observers know as `observers.*`.

    In training mode observers follow the ranges of what they see, batch norms learn their statistics and
    dropout layers drop; in evaluation mode none of them does. What else the model's code does in training
    only (auxiliary outputs, stochastic depth, dropout that is no layer) is left out: its graph is that of
    evaluation.

    Attributes:
        record: replayed on the float model, it makes this model.
    """

    def __init__(self, graph: GraphModule, record: Observers) -> None:
        """
        Args:
            graph: prepared; it becomes part of the model.
        """
        super().__init__()
        self.record = record
        # The graph runs over these modules, and isn't one of them: names stay those of the float model.
        share_contents(self, graph)
        self.__dict__["_graph"] = graph
        self.register_load_state_dict_post_hook(_follow_mode)

    @property
    def forward(self) -> Callable[..., Any]:  # type: ignore[override]
        """The captured forward, with the names of the model's arguments."""
        forward: Callable[..., Any] = self.__dict__["_graph"].forward
        return forward

    def train(self, mode: bool = True) -> ObservedModel:
        """Training mode; what is frozen stays in evaluation mode."""
        super().train(mode)
        norms, ranges = self._frozen.tolist()
        for module in self.modules():
            if isinstance(module, FakeQuantize):
                module.observe(mode and not ranges)
            elif isinstance(module, batch_norm_types()) and norms:
                module.eval()
        return self

    def freeze(self, *, norms: bool = False, ranges: bool = False) -> None:
        """Keeps the statistics of batch norms, or all ranges, as they are from now on.

        This is part of the state dict.
        """
        wanted = self._frozen.new_tensor([norms, ranges]) | self._frozen
        if not torch.equal(wanted, self._frozen):
            self._frozen.copy_(wanted)
            _follow_mode(self)

    @torch.no_grad()
    def calibrate(self, inputs: Mapping[str, Tensor]) -> None:
        """Sets the ranges to those of samples, [B, ...] each, by name; moves towards them from others."""
        training = self.training
        self.eval()
        for module in self.fake_quantizes():
            module.observe(True)
        call_model(self, inputs)
        self.train(training)

    def fake_quantizes(self) -> Iterator[FakeQuantize]:
        """What rounds, in the order of the graph."""
        return (module for module in self.modules() if isinstance(module, FakeQuantize))

    @property
    def _frozen(self) -> Tensor:
        frozen = getattr(self, OBSERVERS).frozen
        assert isinstance(frozen, Tensor)
        return frozen

    def __deepcopy__(self, memo: dict[int, Any]) -> ObservedModel:
        made = ObservedModel(_copied(self.__dict__["_graph"], memo), self.record)
        made.training = self.training
        return made


def int8_module(model: ObservedModel, *, fold: bool = True) -> nn.Module:
    """The model with weights in int8, between `quantize` and `dequantize`; called as the model is.

    Its ranges are those that the model has now; the model stays as it is.

    Args:
        fold: keep weights in int8; otherwise in float32, and rounded whenever they are used.
    """
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e

    graph = _copied(model.__dict__["_graph"], {})
    drop_dropouts(graph)
    for node in list(graph.graph.nodes):
        if node.target is only_nonzero:
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    fix_norms(graph)
    graph.recompile()
    for parameter in graph.parameters():
        parameter.requires_grad_(False)
    made = convert_pt2e(graph, fold_quantize=fold)
    assert isinstance(made, nn.Module)
    return made


def _copied(graph: GraphModule, memo: dict[int, Any]) -> GraphModule:
    """A deep copy, also of those modules and tensors that the graph doesn't use."""
    made = copy.deepcopy(graph, memo)
    copy_contents(made, graph, memo)
    return made


def _follow_mode(model: nn.Module, _: Any = None) -> None:
    """What is frozen is known only once the state is loaded."""
    model.train(model.training)
