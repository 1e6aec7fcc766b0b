"""Surgery, pruning and quantization of a model, before it leaves the server.

One call each, for a training loop of one's own (docs/optimize.md), or all together as a stage.
"""

from .layers import SurgeryResult, surgery
from .pruning import PruneResult, losses_of, prune
from .quantization import QatSchedule, finish_qat, post_training, prepare_qat, write_program
from .retraining import start_with_rounding
from .stage import OptimizeResult, optimize, output_files

__all__ = [
    "OptimizeResult",
    "PruneResult",
    "QatSchedule",
    "SurgeryResult",
    "finish_qat",
    "losses_of",
    "optimize",
    "output_files",
    "post_training",
    "prepare_qat",
    "prune",
    "start_with_rounding",
    "surgery",
    "write_program",
]
