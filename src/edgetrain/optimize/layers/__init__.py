"""Surgery: layers that cost much, or that devices don't have, replaced by others.

`surgery.py` follows rules, `rules.py` lists them, `own_rules.py` reads those of a user; what they do stands
in files named after it. `changes.py` knows where things are in a model, and does what rules want as records
that `models/transforms` replays.

To add a rule: NAME.py with a function from a `Place` to a new layer or None, and a line in `rules.py`.
"""

from .changes import Replacement
from .rules import PRESETS, RULES
from .surgery import SurgeryResult, surgery

__all__ = ["PRESETS", "RULES", "Replacement", "SurgeryResult", "surgery"]
