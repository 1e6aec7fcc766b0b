"""`edgetrain predict`."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgetrain.artifacts.contract import Metric
from edgetrain.predicting import PredictReport

METRICS = [
    Metric(name="loss", top="loss_sum", bottom="count", better="lower"),
    Metric(name="accuracy", top="correct", bottom="count", better="higher", is_share=True),
]


@pytest.fixture
def calls(fake_stage, stand_in):
    """A stage that predicts nothing; returns its calls. `model.pte` and `model.pth` are there."""
    calls = []
    stand_in("model.pte", "program")
    stand_in("model.pth", "checkpoint")

    def predict(config, model, places, **more):
        calls.append(SimpleNamespace(config=config, model=model, places=places, **more))
        counts = (
            [[3, 1], [0, 0]] if len(places) < 2 else [[int(i == j) for i in range(20)] for j in range(20)]
        )
        counts[0][1] = 1
        return PredictReport(
            model=model,
            weights=more["weights"],
            source="somewhere",
            task="classification",
            count=4,
            classes=["cat", "a very long name", *map(str, range(18))][: len(counts)],
            metrics=METRICS,
            figures={"loss": 0.5, "accuracy": 0.75},
            confusion=counts,
            listed=1,
            columns=("class", "score"),
            cells=[("cat", "90.0 %")],
            predictions=[{"sample": str(i), "class": "cat"} for i in range(4)],
        )

    fake_stage("predicting", predict=predict)
    return calls


def test_table(run, calls):
    ran = run("predict", "model.pte", "a.png", "--top", "2", "--runtime", "torch")
    assert ran.code == 0, ran.stderr
    (call,) = calls
    assert (call.model, call.places, call.is_program) == (Path("model.pte"), [Path("a.png")], True)
    assert (call.config.predict.top, call.config.predict.runtime) == (2, "torch")
    lines = [line.rstrip() for line in ran.stdout.splitlines()]
    assert "model.pte on somewhere" in lines
    assert "4 samples: loss 0.5, accuracy 75.00 %" in lines
    assert "3 more; --show 4 lists them, -o FILE.csv and --json have all" in lines
    assert lines[-3:] == [
        "                       cat  a very long…      right",
        "         cat             3             1    75.00 %",
        "a very long…             0             0          –",
    ]
    ran = run("predict", "model.pth", "a.png", "b.png")
    assert not calls[1].is_program
    assert "       1  cat → a very long name" in ran.stdout.splitlines()


def test_json(run, calls):
    ran = run("predict", "model.pte", "a.png", "--json", "-o", "p.csv", "--picture", "p.svg")
    found = json.loads(ran.stdout)
    assert (found["command"], found["figures"]["accuracy"], found["output"]) == ("predict", 0.75, "p.csv")
    assert len(found["predictions"]) == 4
    assert "cells" not in found
    assert calls[0].picture == Path("p.svg")


def test_mistakes(run, calls):
    for arguments, text in (
        (("a.png", "--shift", "invert"), "a.png and data.shift both say what is predicted"),
        (("a.png", "--picture", "c.pdf"), "does not end in .png or .svg; name it c.png"),
        (("a.csv", "-o", "a.csv"), "a.csv is also read"),
        (("--top", "0"), "predict.top"),
    ):
        ran = run("predict", "model.pte", *arguments)
        assert (ran.code, text in ran.stderr.replace("\n│ ", " ")) == (2, True), ran.stderr
    assert run("predict", "missing.pte").code == 3
    assert run("predict", "model.pte", "--weights", "model.pth").code == 3
    assert not calls
