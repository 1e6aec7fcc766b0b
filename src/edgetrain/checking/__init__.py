"""Whether a model can be trained on a device, rightly and fast: no data, no files left behind."""

from .report import CheckReport
from .stage import check, check_subject
from .subject import subject_of

__all__ = ["CheckReport", "check", "check_subject", "subject_of"]
