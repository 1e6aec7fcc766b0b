"""Names that a user may write for data sets, tasks and losses, and where the code of each lies.

Configuration, help and JSON Schemas offer these names without loading that code.
"""

from __future__ import annotations

import importlib
from typing import Any

# `module:function` of `edgetrain.data`, which reads the data set.
DATA_SETS: dict[str, str] = {
    "digits": "digits:read_digits",
    "cifar10": "cifar10:read_cifar10",
    "image-folder": "image_folder:read_image_folder",
    "arrays": "arrays:read_arrays",
    "text": "text:read_text",
    "xor": "xor:read_xor",
    "synthetic": "synthetic:read_synthetic",
}
# The built-in models, `models/registry.py`, and what names of others begin with.
MODELS = ("digits_cnn", "cifar_cnn", "xor_mlp", "mlp", "cnn1d", "text_transformer")
TORCHVISION, TRANSFORMERS = "torchvision:", "transformers:"
# What `data.root` has to name; other data sets make theirs.
ROOTS = {
    "arrays": "a .npz, .safetensors or packed .ptd file",
    "image-folder": "a folder of images",
    "text": "a text file or a folder of them",
}
# `module:class` of `edgetrain.tasks`.
TASKS: dict[str, str] = {
    "classification": "classification:Classification",
    "multi-label": "multi_label:MultiLabel",
    "regression": "regression:Regression",
    "segmentation": "segmentation:Segmentation",
    "token-classification": "token_classification:TokenClassification",
    "next-token": "next_token:NextToken",
}
# The first one is for classes.
LOSSES = ("cross_entropy", "mse", "l1", "bce_with_logits")

# What class labels are usually for, by the dimensions that one sample's have.
TASK_OF_LABELS = {0: "classification", 1: "token-classification", 2: "segmentation"}
# Usual labels of pixels and tokens that count for nothing.
IGNORED_PIXEL, IGNORED_TOKEN = 255, -100


def load_entry(entry: str, package: str) -> Any:
    """What an entry of a table names.

    Args:
        entry: `module:attribute`; a module without a dot lies in `package`, any other is named in full.
    """
    module, _, attribute = entry.partition(":")
    return getattr(importlib.import_module(module if "." in module else f"{package}.{module}"), attribute)
