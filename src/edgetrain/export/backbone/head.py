"""What comes behind a backbone, in eager PyTorch."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from ...models.transforms.zeros import only_nonzero


class EagerHead(nn.Module):
    """(*features) → outputs by name: a method of a captured program in evaluation mode, with the tensors it
    reads as parameters and buffers of their own names.

    Args:
        names: of the first outputs.
        kept_zeros: parameters whose zeros have no gradient, though the graph doesn't say so.
    """

    def __init__(
        self, program: ExportedProgram, names: Sequence[str], kept_zeros: Collection[str] = ()
    ) -> None:
        super().__init__()
        # In a list, it is no submodule with a name that the model may have given to another.
        self._run = [program.graph_module]
        self._names = list(names)
        self._kept_zeros = frozenset(kept_zeros)
        self._places: list[str] = []
        for spec in program.graph_signature.input_specs:
            if spec.kind is not InputKind.USER_INPUT:
                name = str(spec.target)
                tensor = program.state_dict.get(name, program.constants.get(name))
                assert isinstance(tensor, Tensor)
                self._places.append(name)
                self._put(name, tensor)

    def forward(self, *features: Tensor) -> dict[str, Tensor]:
        tensors = [
            only_nonzero(self._get(name)) if name in self._kept_zeros else self._get(name)
            for name in self._places
        ]
        return dict(zip(self._names, self._run[0](*tensors, *features), strict=False))

    def _put(self, name: str, tensor: Tensor) -> None:
        *path, last = name.split(".")
        module: nn.Module = self
        for part in path:
            if part not in dict(module.named_children()):
                module.add_module(part, nn.Module())
            module = module.get_submodule(part)
        if isinstance(tensor, nn.Parameter):
            module.register_parameter(last, nn.Parameter(tensor.detach().clone(), tensor.requires_grad))
        else:
            module.register_buffer(last, tensor.detach().clone())

    def _get(self, name: str) -> Tensor:
        path, _, last = name.rpartition(".")
        found = getattr(self.get_submodule(path), last)
        assert isinstance(found, Tensor)
        return found
