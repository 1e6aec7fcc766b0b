"""`edgetrain export --compare-updates`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..factories import Trusted
from ..reporting import megabytes
from .command import Invocation
from .tables import Table
from .text import figure_text, file_text

# Narrow enough for a terminal of 80 columns.
_COLUMNS = (
    "update",
    "trained\nparameters",
    "activations",
    "weights\nthat change",
    "optimizer\nstate",
    "in all",
)


def compare_updates(run: Invocation, checkpoint: Path, trusted: Trusted, plot: Path | None) -> None:
    """Shows what the updates of a checkpoint cost, and draws it if a file for that is given."""
    if plot:
        run.claim([(plot, "picture")], inputs=[checkpoint], explicit=True)
    from ..export import compare_updates as compare
    from ..export.comparison.plot import plot_comparison

    comparison = compare(run.config, checkpoint, trusted=trusted, reporter=run.reporter)
    if plot:
        plot_comparison(comparison, plot)
        run.reporter.info(f"drawn in {file_text(plot)}")
    metric = comparison.metric
    run.output.result(
        Table(
            f"updates of {checkpoint}",
            list(_rows(comparison)),
            _COLUMNS if metric is None else [*_COLUMNS, f"{metric.name}\ntuned"],
        ),
        {
            "command": "export",
            "updates": [
                {
                    "update": cost.update,
                    "trained_parameters": cost.trained,
                    "activation_bytes": cost.activations,
                    "weight_bytes": cost.weights,
                    "state_bytes": cost.state,
                    "figure": cost.figure,
                }
                for cost in comparison.costs
            ],
            "metric": metric,
            "memory_plot": plot,
        },
    )


def _rows(comparison: Any) -> Iterator[tuple[str, ...]]:
    metric = comparison.metric
    for cost in comparison.costs:
        sizes = map(megabytes, (cost.activations, cost.weights, cost.state, cost.total))
        row = (cost.update, f"{cost.trained:,}", *sizes)
        yield row if metric is None else (*row, figure_text(cost.figure, is_share=metric.is_share))
