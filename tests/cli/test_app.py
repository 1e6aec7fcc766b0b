"""The program as a whole: help, version, completion, start time, processes."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import edgetrain
from edgetrain.cli import app as program
from edgetrain.cli import errors
from edgetrain.cli.app import app
from edgetrain.config.options import flags_of
from edgetrain.config.stages import COMMANDS as STAGES

COMMANDS = tuple(command.name for command in program.COMMANDS)


HELP = (
    "import sys; from edgetrain.cli.app import main; code = main(sys.argv[1:]);"
    "assert not {'torch', 'torchvision', 'executorch', 'numpy'} & set(sys.modules); sys.exit(code)"
)
# What no command line of its kind can do without.
LIBRARIES = "import pydantic.fields, typer.rich_utils"


@pytest.mark.parametrize("arguments", [(), *((command,) for command in COMMANDS)])
def test_help_is_fast_and_leaves_torch_alone(arguments):
    """Half a second on a machine with nothing else to do, of which loading libraries takes more than half.
    Seconds say little where other tests run beside this one; that share says the same everywhere."""
    help_took, libraries_took = [], []
    for _ in range(8):
        text, seconds = _run(HELP, *arguments, "--help")
        assert "Usage: edgetrain" in text
        help_took.append(seconds)
        libraries_took.append(_run(LIBRARIES)[1])
        if min(help_took) < 2.2 * min(libraries_took):
            break
    assert min(help_took) < 2.2 * min(libraries_took), (help_took, libraries_took)


def _run(code: str, *arguments: str) -> tuple[str, float]:
    """What Python prints, and the processor time that it takes."""
    before = _children_cpu_time()
    child = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert child.returncode == 0, child.stderr
    return child.stdout, _children_cpu_time() - before


def _children_cpu_time() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_configuration_errors_leave_torch_alone(tmp_path):
    code = (
        "import sys; from edgetrain.cli.app import main; code = main(['train', '--epochs', '0']);"
        "assert 'torch' not in sys.modules; sys.exit(code)"
    )
    child = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert child.returncode == 2
    assert child.stderr == "error: train.epochs: must be at least 1 (got 0) [--epochs]\n"


def test_version_and_module(spawn):
    child = spawn("--version")
    assert (child.returncode, child.stdout) == (0, f"edgetrain {edgetrain.__version__}\n")


def test_alone_it_shows_help(run):
    ran = run()
    assert ran.code == 0
    assert all(command in ran.stdout for command in COMMANDS)


def test_cli_runner_sees_the_same_exit_codes(tmp_path):
    result = CliRunner().invoke(app, ["inspect", str(tmp_path / "none.pth")])
    assert result.exit_code == 3
    assert "does not exist" in result.stderr


@pytest.mark.parametrize("command", [None, *program.COMMANDS], ids=lambda command: command and command.name)
def test_help_loads_only_what_it_shows(command):
    code = (
        "import sys; from edgetrain.cli.app import COMMANDS, main; main(sys.argv[1:]);"
        "others = {'edgetrain.cli.' + c.name.replace('-', '_') for c in COMMANDS if c.name not in sys.argv};"
        "own = {'edgetrain.cli.build_runner'} if 'export' in sys.argv else set();"  # export has its rows
        "print(*(others - own) & set(sys.modules), file=sys.stderr);"
        "print(*{'yaml', 'pydantic', 'edgetrain.artifacts'} & set(sys.modules), file=sys.stderr)"
    )
    arguments = [command.name] if command else []
    child = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--help"], capture_output=True, text=True, check=False
    )
    flags_of_models = command is not None and command.configured
    assert child.stderr.split() == (["pydantic"] if flags_of_models else [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["train", "--epoch", "3"],
            "No such option: --epoch (Possible options: --epochs, --export, --step-epochs); "
            "see edgetrain train --help",
        ),
        (
            ["train", "--learning-rate", "1"],
            "no option --learning-rate; did you mean --lr? See edgetrain train --help",
        ),
        (["trai"], "No such command 'trai'. Did you mean 'train'? See edgetrain --help"),
        (["export"], "Missing argument 'CHECKPOINT'; see edgetrain export --help"),
        (["train", "--epochs"], "Option '--epochs' requires an argument; see edgetrain --help"),
        (["train", "-q", "-v"], "-q and -v contradict each other; give one of them"),
    ],
)
def test_usage_errors_are_one_sentence(run, arguments, message):
    ran = run(*arguments)
    assert (ran.code, ran.stdout, ran.stderr) == (2, "", f"error: {message}\n")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("edgetrain tr", {"train"}),
        ("edgetrain train --optimizer ", {"sgd", "adam", "adamw"}),
        ("edgetrain train --optimizer a", {"adam", "adamw"}),
        ("edgetrain train --channels ", {"1", "3"}),
        ("edgetrain bench --runtimes ", {"torch", "executorch", "executorch-stock", "native"}),
        ("edgetrain finetune --wei", {"--weights", "--weight-decay"}),
        ("edgetrain train --model x", {"xor_mlp"}),
        ("edgetrain train --model torchvision:squeezenet1_", {f"torchvision:squeezenet1_{n}" for n in "01"}),
        ("edgetrain finetune --shift ", {"rotate:90", "noise:0.1", "blur:1", "invert", "classes:"}),
        ("edgetrain bench --runtimes torch,n", {"torch,native"}),
        ("edgetrain train --set optimizer.na", {"optimizer.name="}),
        ("edgetrain train --set optimizer.name=a", {"optimizer.name=adam", "optimizer.name=adamw"}),
        ("edgetrain train --set data.flip=", {"data.flip=true", "data.flip=false"}),
    ],
)
def test_completion_knows_commands_flags_and_choices(spawn, words, expected):
    position = str(len(words.split(" ")) - 1)
    settings = {"_EDGETRAIN_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": position}
    assert set(spawn(env=settings).stdout.split()) == expected


@pytest.mark.parametrize("command", [[], ["inspect"]])
def test_help_has_a_short_name(run, command):
    assert run(*command, "-h").stdout == run(*command, "--help").stdout != ""


def test_usual_names_are_of_options_that_exist():
    flags = {name for command in STAGES for flag in flags_of(command) for name in flag.names}
    assert set(errors._USUAL_NAMES.values()) <= flags


@pytest.mark.parametrize("arguments", [[], ["train"], ["inspect"]])
def test_switches_have_no_type(run, arguments):
    ran = run(*arguments, "--help")
    assert "--help" in ran.stdout
    assert "bool" not in ran.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--model", "digit_cnn"], "there is no model 'digit_cnn'; did you mean 'digits_cnn'?"),
        (
            ["train", "--model", "resnet18"],
            "there is no model 'resnet18'; did you mean 'torchvision:resnet18'?",
        ),
        (["check", "torchvision:resnet17"], "did you mean 'resnet18'?"),
        (["train", "--model", "no_such_module:Net"], "can't import 'no_such_module' for the model"),
        (
            ["train", "--data", "arrays", "--data-dir", "no.npz"],
            "no.npz does not exist; --data-dir names a",
        ),
        (
            ["pack", "--data", "image-folder", "--data-dir", "no"],
            "no does not exist; --data-dir",
        ),
        (["train", "--optimizer", "sdg"], "did you mean 'sgd'?"),
        (["finetune", "no.pte"], "no.pte does not exist"),
    ],
)
def test_wrong_names_are_refused_without_pytorch(folder, arguments, message):
    code = (
        "import sys; from edgetrain.cli.app import main; code = main(sys.argv[1:]);"
        "assert not {'torch', 'torchvision', 'executorch'} & set(sys.modules); sys.exit(code)"
    )
    child = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert child.returncode in (2, 3), child.stderr
    assert child.stderr.startswith("error: ")
    assert message in child.stderr
    assert child.stderr.count("\n") == 1


def test_completion_can_be_installed(run):
    ran = run("--help")
    assert "--install-completion" in ran.stdout


@pytest.mark.parametrize("arguments", [["train", "--help"], ["inspect", "FILE", "--json"]])
def test_a_closed_pipe_ends_quietly(tmp_path, arguments):
    file = tmp_path / "history.json"
    file.write_text("{}")
    code = (
        "import sys, types; m = types.ModuleType('edgetrain.artifacts.inspect');"
        "m.describe = lambda path: {'kind': 'x' * 200000}; sys.modules[m.__name__] = m;"
        "from edgetrain.cli.app import main; sys.exit(main(sys.argv[1:]))"
    )
    read, write = os.pipe()
    os.close(read)
    arguments = [str(file) if argument == "FILE" else argument for argument in arguments]
    child = subprocess.run(
        [sys.executable, "-c", code, *arguments], stdout=write, stderr=subprocess.PIPE, check=False
    )
    os.close(write)
    assert (child.returncode, child.stderr) == (1, b"")


def test_the_process_ends_in_order():
    code = (
        "import atexit, sys, threading, time; from edgetrain.cli.app import main\n"
        "def register(): atexit.register(print, 'registered'); time.sleep(0.2); print('thread')\n"
        "class Late:\n"
        "    def __del__(self): print('taken apart')\n"
        "sys.argv, late = ['edgetrain', '--version'], Late()\n"
        "sys.modules['edgetrain.late'] = late\n"
        "from edgetrain.cli import typed\n"
        "typed.remember = lambda arguments: threading.Thread(target=register).start()\n"
        "from edgetrain.cli import app; app.remember = typed.remember\n"
        "sys.exit(main())"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    version = f"edgetrain {edgetrain.__version__}"
    assert (child.returncode, child.stdout.split("\n")) == (0, [version, "thread", "registered", ""]), child


@pytest.mark.parametrize(("arguments", "code"), [(["--version"], 0), (["trai"], 2), (["inspect", "no"], 3)])
def test_exit_codes_of_the_process(spawn, folder, arguments, code):
    assert spawn(*arguments).returncode == code


def test_the_console_script_is_this_main():
    pyproject = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert 'edgetrain = "edgetrain.cli.app:main"' in pyproject


def test_an_empty_argument_is_no_folder(capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["inspect", ""]) == 2
    assert "is a shell variable unset" in capsys.readouterr().err
