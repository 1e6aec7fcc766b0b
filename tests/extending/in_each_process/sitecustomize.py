"""The line that each addition takes in config/names.py, in every process: fine-tuning has one of its own."""

from edgetrain.config import names

names.DATA_SETS["line"] = "extending.line:read_line"
names.TASKS["closeness"] = "extending.closeness:Closeness"
