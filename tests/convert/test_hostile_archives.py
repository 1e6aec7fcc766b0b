"""Archives made to run code or write files: each is refused, or read without doing either."""

from __future__ import annotations

import contextlib
import io
import json
import os
import random
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from convert_models import example
from torch import nn

from edgetrain.config.convert import ConvertConfig
from edgetrain.convert.kinds import identify
from edgetrain.convert.readers import read_source
from edgetrain.convert.script_code import UnsafeScriptError, rewritten_code
from edgetrain.errors import InputError

GetFile = Callable[[str, str], Path]


class Harmful:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return os.system, (self.command,)


@pytest.fixture
def proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that nothing may write, in the current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "proof"


def _records(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as file:
        return {name.partition("/")[2]: file.read(name) for name in file.namelist()}


def _write(path: Path, records: list[tuple[str, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in records:
            file.writestr(f"top/{name}", content)
    return path


def _with(source: Path, path: Path, changes: dict[str, bytes | None]) -> Path:
    """A copy with other, further or fewer records."""
    records = {**_records(source), **changes}
    return _write(path, [(name, content) for name, content in records.items() if content is not None])


def _use(path: Path, model: str = "Images") -> None:
    """All that convert does with a file of its own: read, run, capture."""
    source = read_source(identify(path), ConvertConfig())
    source.reference(example(model))
    source.captured([example(model)])


def _pickled(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


# --- exported programs


def _document(path: Path) -> Any:
    return json.loads(_records(path)["models/model.json"])


def _graph(document: Any) -> Any:
    return document["graph_module"]["graph"]


def _renamed(document: Any, code: str) -> Any:
    """With code in the name of a node."""
    old = next(n for n in _graph(document)["nodes"] if "relu" in n["target"])["outputs"][0]["as_tensor"][
        "name"
    ]
    return json.loads(json.dumps(document).replace(f'"{old}"', json.dumps(f"{code}; {old}")))


def _guarded(document: Any, code: str) -> Any:
    return {**document, "guards_code": [f"{code} == 0"]}


def _with_an_enum(document: Any, _: str) -> Any:
    entry = document["graph_module"]["module_call_graph"][0]["signature"]
    protocol, nest = json.loads(entry["out_spec"])
    context = '[{"__enum__": true, "fqn": "harmful_module:X", "name": "a"}]'
    nested = {"type": "builtins.dict", "context": context, "children_spec": [nest]}
    entry["out_spec"] = json.dumps([protocol, nested])
    return document


def _with_a_default(document: Any, _: str) -> Any:
    entry = document["graph_module"]["module_call_graph"][0]["signature"]
    protocol, nest = json.loads(entry["out_spec"])
    context = {"default_factory_module": "harmful_module", "default_factory_name": "X", "dict_context": [0]}
    nested = {"type": "collections.defaultdict", "context": context, "children_spec": [nest]}
    entry["out_spec"] = json.dumps([protocol, nested])
    return document


def _of_a_file(document: Any, _: str) -> Any:
    node = next(n for n in _graph(document)["nodes"] if "relu" in n["target"])
    node["target"] = "torch.ops.aten.from_file.default"
    node["inputs"] = [
        {"name": "filename", "arg": {"as_string": "proof"}, "kind": 1},
        {"name": "shared", "arg": {"as_bool": True}, "kind": 1},
        {"name": "size", "arg": {"as_int": 864}, "kind": 1},
    ]
    return document


def _sized(document: Any, code: str) -> Any:
    meta = next(iter(_graph(document)["tensor_values"].values()))
    meta["sizes"][0] = {"as_expr": {"expr_str": code, "hint": None}}
    return document


def _ranged(document: Any, code: str) -> Any:
    return {**document, "range_constraints": {code: {"min_val": 0, "max_val": 9}}}


@pytest.mark.promise("TorchScript and .pt2 from strangers run no code and write no file", cases=1)
@pytest.mark.parametrize(
    "change",
    [_renamed, _guarded, _with_an_enum, _with_a_default, _of_a_file, _sized, _ranged],
    ids=lambda change: change.__name__,
)
def test_programs_that_run_code(model_file: GetFile, proof: Path, change: Any, monkeypatch: Any) -> None:
    Path("harmful_module.py").write_text("import os\nos.system('touch proof')\nX = dict\n")
    monkeypatch.syspath_prepend(str(proof.parent))
    document = change(_document(model_file("pt2", "Images")), "__import__('os').system('touch proof')")
    changed = {"models/model.json": json.dumps(document).encode()}
    path = _with(model_file("pt2", "Images"), proof.parent / "bad.pt2", changed)
    with contextlib.suppress(InputError):
        _use(path)
    assert not proof.exists()
    with contextlib.suppress(Exception):
        torch.export.load(path).module()(example("Images"))
    sys.modules.pop("harmful_module", None)
    # PyTorch would have run it, but for sizes that occur nowhere, and names that it happens to make again.
    assert proof.exists() or change in (_ranged, _renamed)


@pytest.mark.promise("TorchScript and .pt2 from strangers run no code and write no file", cases=1)
@pytest.mark.parametrize(
    "name",
    [
        "models/model.txt", "models/other.json", "Models/model.json", "data/sample_inputs/MODEL.PT",
        "data/weights/model.pt", "data/Weights/weight_0", "data/constants/model.pt",
        "data/constants/custom_obj_0", "data/constants/opaque_obj_0", "data/weights/../x",
        "xl_model_weights/a",
        "data/aotinductor/model/a.so", "DATA/AOTINDUCTOR/model/a.so", "executorch/a", "code/a.py",
    ],
)  # fmt: skip
def test_programs_with_further_records(model_file: GetFile, proof: Path, name: str) -> None:
    content = _pickled(Harmful("touch proof"))
    path = _with(model_file("pt2", "Images"), proof.parent / "bad.pt2", {name: content})
    with pytest.raises(InputError, match=r"which no program needs|two records|holds compiled code"):
        _use(path)
    # In the place of the one that PyTorch would look for.
    others = [known for known in _records(path) if known.lower() == name.lower() and known != name]
    _with(path, path.with_name("alone.pt2"), dict.fromkeys(others))
    with pytest.raises(InputError):
        _use(path.with_name("alone.pt2"))
    assert not proof.exists()


def test_weights_that_are_pickled_whatever_is_said_of_them(model_file: GetFile, proof: Path) -> None:
    known = _records(model_file("pt2", "Images"))
    for name, key in (("weights", "weight"), ("constants", "tensor")):
        config = f"data/{name}/model_{name}_config.json"
        for path_name, pickled in ((f"{key}_0", True), ("custom_obj_0", False), ("opaque_obj_0", False)):
            meta = {"path_name": path_name, "is_param": False, "use_pickle": pickled, "tensor_meta": None}
            if name == "weights":
                meta["tensor_meta"] = json.loads(known[config])["config"]["conv.weight"]["tensor_meta"]
            changes = {
                config: json.dumps({"config": {"conv.weight": meta}}).encode(),
                f"data/{name}/{key}_0": _pickled(Harmful("touch proof")),
            }
            path = _with(model_file("pt2", "Images"), proof.parent / "bad.pt2", changes)
            with pytest.raises(InputError):
                _use(path)
    assert not proof.exists()


def test_weights_that_are_larger_than_their_record(model_file: GetFile, tmp_path: Path) -> None:
    name = "data/weights/weight_0"
    path = _with(model_file("pt2", "Images"), tmp_path / "bad.pt2", {name: b""})
    with pytest.raises(InputError, match="a tensor is larger than what is stored of it"):
        _use(path)


# --- scripts


_WHOLE = """
class Net(Module):
  __parameters__ = ["weight", ]
  weight : Tensor
  def forward(self: __torch__.Net, x: Tensor) -> Tensor:
    _0 = __torch__.helper
    {line}
    return torch.mul(x, 2)
def helper(x: Tensor) -> Tensor:
  return torch.relu(x)
"""


@pytest.mark.parametrize(
    "line",
    [
        "y = torch.add(x, _0(x), alpha=1)", 'y = annotate(List[int], [1, 2])', "y = ops.prim.NumToTensor(1)",
        "y = (self).forward(x, )", "y = getattr(self, \"0\").forward(x)", "y = x.relu_()", "y = CONSTANTS.c0",
        "a, b, = torch.max(x, 1)", "y = x.size(0)",
        's = "a\\303\\251\\n\\"\\\\"', "y = -1e-05 if bool(x) else inf", "y = x[0:2]",
    ],
)  # fmt: skip
def test_code_of_models(line: str) -> None:
    (code,) = rewritten_code({"code/__torch__.py": _WHOLE.format(line=line).encode()}).values()
    assert code.isascii()
    assert rewritten_code({"code/__torch__.py": code})["code/__torch__.py"] == code


@pytest.mark.promise("TorchScript and .pt2 from strangers run no code and write no file", cases=1)
@pytest.mark.parametrize(
    "line",
    [
        'y = torch.save(x, "f")', 'y = torch.from_file("f", True, 4)', 'y = x.save("f")',
        "y = ops.aten.save(x)",
        'y = ops.mine.run(x)', 'f = torch.save\n    f(x, "f")', 'f = x.save\n    f("f")',
        "y = torch\n    y.add(x)",
        'range = x.save\n    range("f")', 'y = ops.aten\n    y.save(x, "f")', 'y = getattr(x, "save")("f")',
        'y = (x.save)("f")', 'y = [x.save][0]("f")', 'y = (x.save if True else x.save)("f")', "torch = x",
        "y = fork(x.save)", "y = ^Op(1)(x)", "y = lambda: 1", "y = __torch__.torch.classes.a.B(1)",
        "import os",
        "y = [i for i in x]", 'y = f"{x}"', "_0 = x.save\n    _0(x)", "y = ops.prim.ModuleDictIndex(x)",
        "y = torch.ops.aten.save(x)", "y = torch.nn.Linear(1)", "y = eval('1')", "y = exec('1')", "y = b'x'",
        "y = torch.add(*x)", "y = torch.add(**x)", "tоrch.save(x)",
        "y = x.\N{FULLWIDTH LATIN SMALL LETTER S}ave(x)",
        "y = (y := x)", "y = x.record_stream(1)", "y = torch.set_(x)", "y = torch.manual_seed(1)", "global y",
        "def f(x):\n      pass\n    f(x)", "y = ops.rpc.call()",
        "y = torch._cufft_set_plan_cache_max_size(1)",
    ],
)  # fmt: skip
def test_code_that_no_model_has(line: str) -> None:
    with pytest.raises(UnsafeScriptError):
        rewritten_code({"code/__torch__.py": _WHOLE.format(line=line).encode()})


def test_methods_that_are_called_like_operators() -> None:
    code = (
        _WHOLE.format(line="y = self.save(x)")
        + "class Other(Module):\n  def save(self, x: Tensor) -> int:\n    return 1\n"
    )
    with pytest.raises(UnsafeScriptError, match="defines 'save', which is an operator"):
        rewritten_code({"code/__torch__.py": code.encode()})


class Saving(nn.Module):
    """Writes a file as it is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(2, 2)

    @torch.jit.export
    def __getstate__(self) -> int:
        return 1

    @torch.jit.export
    def __setstate__(self, state: int) -> None:
        torch.save([torch.zeros(state)], "proof")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_scripts_that_write_as_they_are_loaded(proof: Path) -> None:
    def moved(name: str, folder: str) -> str:
        return folder + name.removeprefix("code") if name.startswith("code/") else name

    torch.jit.script(nn.Linear(2, 2)).save("plain.pt")
    code = _records(Path("plain.pt"))
    for folder in ("code", "Code", "CODE"):
        name = next(n for n in code if n.endswith(".py"))
        changed = code[name].replace(b"    return", b'    _9 = torch.save(input, "proof")\n    return')
        records = [(moved(n, folder), changed if n == name else c) for n, c in code.items()]
        path = _write(Path("bad.pt"), records)
        with pytest.raises(InputError, match=r"refused|has no TorchScript code"):
            _use(path)
    assert not proof.exists()


@pytest.mark.promise("TorchScript and .pt2 from strangers run no code and write no file", cases=1)
@pytest.mark.parametrize("name", ["constants.pkl", "data.pkl"])
def test_pickles_of_scripts(model_file: GetFile, proof: Path, name: str) -> None:
    for content in (
        b"\x80\x02cos\nsystem\nX\x0b\0\0\0touch proof\x85R.",
        b"\x80\x02c__torch__.torch.classes.xnnpack\nContext\n)\x81.",
        b"\x80\x02(((((.",
        b"\x80\x02h\5.",
    ):
        path = _with(model_file("traced", "Images"), proof.parent / "bad.pt", {name: content})
        with pytest.raises(InputError, match=r"is refused|was prepacked"):
            _use(path)
    assert not proof.exists()


def test_tensors_of_scripts_that_are_larger_than_their_record(model_file: GetFile, tmp_path: Path) -> None:
    """PyTorch would read the memory behind it."""
    records = _records(model_file("traced", "Images"))
    largest = max((n for n in records if n.startswith("data/")), key=lambda n: len(records[n]))
    path = _with(model_file("traced", "Images"), tmp_path / "bad.pt", {largest: records[largest][:8]})
    with pytest.raises(InputError, match="bytes of a tensor, but has 8"):
        _use(path)


# --- all of them


_CODE = [
    b'    _9 = torch.save(x, "proof")\n', b'    _9 = torch.from_file("proof", True, 4)\n',
    b'    _9 = ops.aten.save(x, "proof")\n', b'    _9 = (x).save("proof")\n',
]  # fmt: skip
_TEXTS = [
    "__import__('os').system('touch proof')", "x = __import__('os').system('touch proof'); y",
    "torch.ops.aten.from_file.default", "torch.os.system", "_operator.attrgetter", "#x:y", "proof", "",
    "');__import__('os').system('touch proof');('", "\n__import__('os').system('touch proof')\n", "weight_0",
]  # fmt: skip


def _mutated(records: list[tuple[str, bytes]], generator: random.Random) -> list[tuple[str, bytes]]:
    """One change of a random kind."""
    at = generator.randrange(len(records))
    name, content = records[at]
    kind = generator.randrange(7)
    harmful = _pickled(Harmful("touch proof"))
    if kind == 0:
        records[at] = (
            generator.choice([name.upper(), name.title(), name + ".pt", "models/" + name]),
            content,
        )
    elif kind == 1:
        records.insert(generator.randrange(len(records)), (name.swapcase(), harmful))
    elif kind == 2:
        records.append(
            (generator.choice(["models/a", "data/sample_inputs/model.pt", "extra/a", "Data.pkl"]), harmful)
        )
    elif kind == 3 and name.endswith(".json"):
        text = content.decode()
        start = generator.randrange(len(text))
        begin = text.find('"', start)
        end = text.find('"', begin + 1)
        if 0 <= begin < end:
            text = text[:begin] + json.dumps(generator.choice(_TEXTS)) + text[end + 1 :]
        records[at] = (name, text.encode())
    elif kind == 4 and name.endswith(".py"):
        lines = content.splitlines(keepends=True)
        lines.insert(generator.randrange(len(lines)), generator.choice(_CODE))
        records[at] = (name, b"".join(lines))
    elif kind == 5:
        records[at] = (name, harmful)
    else:
        changed = bytearray(content or b"x")
        changed[generator.randrange(len(changed))] = generator.randrange(256)
        records[at] = (name, bytes(changed))
    return records


def _fuzz(path: Path, seeds: range) -> None:
    records = list(_records(path).items())
    _use(_write(Path("fuzzed.pt"), records))
    refused = 0
    for seed in seeds:
        generator = random.Random(seed)
        changed = list(records)
        for _ in range(generator.randint(1, 2)):
            changed = _mutated(changed, generator)
        with contextlib.suppress(Exception):
            # What is wrong in another way, the worker turns into a sentence.
            refused += 1
            _use(_write(Path("fuzzed.pt"), changed))
            refused -= 1
    assert len(seeds) // 4 < refused < len(seeds)
    assert not Path("proof").exists()


@pytest.mark.promise("TorchScript and .pt2 from strangers run no code and write no file", cases=12)
@pytest.mark.parametrize("kind", ["pt2", "traced", "mobile"])
def test_changed_archives(model_file: GetFile, proof: Path, kind: str) -> None:
    _fuzz(model_file(kind, "Images"), range(12))


@pytest.mark.promise("TorchScript and .pt2 from strangers run no code and write no file", cases=300)
@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["pt2", "traced", "scripted", "mobile"])
def test_many_changed_archives(model_file: GetFile, proof: Path, kind: str) -> None:
    _fuzz(model_file(kind, "Images"), range(100, 400))
