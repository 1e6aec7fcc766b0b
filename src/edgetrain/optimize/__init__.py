"""Surgery, pruning and quantization of a model, before it leaves the server.

One call each, for a training loop of one's own (docs/optimize.md), or all together as a stage.
"""

from .pruning import PruneResult, prune
from .stage import OptimizeResult, optimize, output_files

__all__ = ["OptimizeResult", "PruneResult", "optimize", "output_files", "prune"]
