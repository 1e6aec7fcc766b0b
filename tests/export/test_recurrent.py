"""Programs whose recurrent layers are operators of edgetrain's own."""

from __future__ import annotations

from pathlib import Path

import export_models as models
import pytest
import torch
from torch import Tensor, nn

from edgetrain.artifacts.manifest import load_manifest
from edgetrain.artifacts.program import load_program
from edgetrain.errors import CheckFailedError, EdgetrainError
from edgetrain.export.stage import export_subject
from edgetrain.runner import KERNELS_OVERRIDE, find_kernels
from edgetrain.runtimes import kernels, open_session

LSTM = ["edgetrain::lstm.out", "edgetrain::lstm_backward.out"]
needs_kernels = pytest.mark.skipif(find_kernels() is None, reason="needs edgetrain's kernels")


class Stateful(nn.Module):
    """[B, 9, 5] → [B, 4]: layers over one another in both directions, from a state that is learned, by their
    last states."""

    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.rnn = kind(5, 6, 2, batch_first=True, bidirectional=True, dropout=0.3)
        self.start = nn.Parameter(torch.randn(4, 1, 6))
        self.head = nn.Linear(24, 4)

    def forward(self, x: Tensor) -> Tensor:
        start = self.start.expand(-1, x.shape[0], -1)
        if isinstance(self.rnn, nn.LSTM):
            last = torch.cat(self.rnn(x, (start, 2 * start))[1], 2)[-2:]
        else:
            last = torch.cat(self.rnn(x, start)[1].split(2), 2)
        return self.head(last.transpose(0, 1).reshape(-1, 24))


@needs_kernels
@pytest.mark.parametrize("kind", [nn.LSTM, pytest.param(nn.GRU, marks=pytest.mark.thorough)])
def test_programs_are_verified_in_our_kernels_alone(kind: type[nn.RNNBase], tmp_path: Path) -> None:
    torch.manual_seed(0)
    subject = models.subject(Stateful(kind), (9, 5), max_batch_size=5)
    result = export_subject(subject, tmp_path / "model")
    manifest, found = load_manifest(result.manifest_path), result.verification
    name = kind.__name__.lower()
    assert manifest.own_operators == [f"edgetrain::{name}.out", f"edgetrain::{name}_backward.out"]
    assert (found.kernels, found.stock_batch_sizes) == (["fast"], None)
    assert found.batch_sizes == [3, 1, 5]
    assert found.gradients is not None
    assert found.gradients <= 1e-5
    with pytest.raises(
        EdgetrainError, match=r"edgetrain::\w+\.out, which only .*: leave --kernels stock out"
    ):
        open_session("executorch", load_program(result.program), kernels="stock")


def test_without_our_kernels_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of another version count for nothing."""
    subject = models.subject(models.Sequences(), (6, 5), max_batch_size=2)
    with monkeypatch.context() as patch:
        patch.setattr(kernels, "find_kernels", lambda: None)
        with pytest.raises(CheckFailedError, match=r"these are not installed: .*or export with --recurrent"):
            export_subject(subject, tmp_path / "model")
        with pytest.raises(EdgetrainError, match="only edgetrain's kernels can run: "):
            kernels.choose_kernels(None, LSTM)
    other = tmp_path / "libother.so"
    other.write_bytes(b"no library")
    monkeypatch.setenv(KERNELS_OVERRIDE, str(other))
    said = kernels.why_not_run(LSTM)
    assert said is not None
    assert said.startswith(f"{other}, of another version, has none of edgetrain::lstm.out")
    assert not list(tmp_path.glob("model*"))
