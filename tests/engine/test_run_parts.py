"""What a run has still to do."""

from __future__ import annotations

from edgetrain.engine.run_parts import run_parts


def weights(*arguments: int, **settings: int) -> list[tuple[str, float]]:
    found = run_parts(*arguments, **{"samples": 2, "validated": 5, **settings})
    return [(part.kind, part.weight) for part in found]


def test_a_whole_run() -> None:
    assert weights(0, 0, 25, 10) == [
        *[("training", 60), ("validation", 5)] * 2,
        ("training", 30),  # --max-steps ends it
        ("validation", 5),
    ]


def test_the_rest_of_a_run() -> None:
    assert weights(13, 3, 20, 10) == [("training", 42), ("validation", 5)]
    assert weights(10, 10, 20, 10) == [
        ("training", 0),  # interrupted before its validation
        ("validation", 5),
        ("training", 60),
        ("validation", 5),
    ]
    assert weights(20, 10, 20, 10) == [("training", 0), ("validation", 5)]


def test_validation_of_some_epochs() -> None:
    training = ("training", 60)
    assert weights(0, 0, 30, 10, every=2) == [
        training,
        training,
        ("validation", 5),
        training,
        ("validation", 5),
    ]
    assert weights(0, 0, 20, 10, every=0) == [training, training, ("validation", 5)]
