import pytest

from edgetrain.config.optimizer import ScheduleConfig
from edgetrain.engine.schedules import count_steps, depends_on_length, learning_rate, steps_per_epoch


def rates(schedule: ScheduleConfig, total: int, per_epoch: int = 2, peak: float = 1.0) -> list[float]:
    return [learning_rate(schedule, peak, step, total, per_epoch) for step in range(total)]


def test_constant_after_warmup() -> None:
    assert rates(ScheduleConfig(warmup_steps=4), 6, peak=2.0) == [0.5, 1.0, 1.5, 2.0, 2.0, 2.0]


def test_step_drops_after_epochs() -> None:
    schedule = ScheduleConfig(name="step", step_epochs=2, gamma=0.5, warmup_steps=1)
    assert rates(schedule, 9) == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25]


def test_cosine_falls_from_the_peak() -> None:
    schedule = ScheduleConfig(name="cosine", warmup_steps=2, final_ratio=0.2)
    values = rates(schedule, 6)
    assert values[:3] == [0.5, 1.0, 1.0]
    assert values[4] == pytest.approx(0.6)  # half way from 1 to 0.2
    assert values == [*values[:3], *sorted(values[3:], reverse=True)]
    assert learning_rate(schedule, 1.0, 6, 6, 2) == pytest.approx(0.2)
    assert learning_rate(schedule, 1.0, 60, 6, 2) == pytest.approx(0.2)


def test_warmup_longer_than_the_run() -> None:
    assert rates(ScheduleConfig(name="cosine", warmup_steps=10), 2) == [0.1, 0.2]


def test_max_steps_shortens() -> None:
    assert count_steps(3, 5) == 15
    assert count_steps(3, 5, 7) == 7
    assert count_steps(3, 5, 70) == 15
    assert [depends_on_length(ScheduleConfig(name=n)) for n in ("constant", "step", "cosine")] == [0, 0, 1]


def test_batches_that_make_one_step() -> None:
    assert [steps_per_epoch(7, accumulate) for accumulate in (1, 2, 7, 100)] == [7, 4, 1, 1]
