"""Which epoch is best, and how long one waits for a better one."""

from edgetrain.artifacts.contract import Metric
from edgetrain.artifacts.history import EpochRecord
from edgetrain.engine.best import is_best, out_of_patience

METRICS = [
    Metric(name="loss", top="loss_sum", bottom="count", better="lower"),
    Metric(name="accuracy", top="correct", bottom="count", better="higher", is_share=True),
]


def epoch(number, loss, accuracy=None):
    return EpochRecord(epoch=number, val_loss=loss).with_figures("val", {"accuracy": accuracy})


def best(record, known, by="accuracy", whole=True):
    return is_best(record, known, METRICS, by, whole=whole)


def test_the_metric_decides_and_then_the_loss():
    known = epoch(1, 0.5, 0.9)
    assert best(epoch(2, 0.9, 0.91), known)
    assert not best(epoch(2, 0.9, 0.91), known, by="loss")
    assert best(epoch(2, 0.4, 0.9), known)
    assert not best(epoch(2, 0.5, 0.9), known)
    assert not best(epoch(2, None), known)
    assert not best(epoch(1, None), None)
    assert not best(epoch(2, 0.1, float("nan")), known)


def test_part_of_an_epoch_is_best_only_as_long_as_there_is_no_other():
    assert best(epoch(1, 0.5, 0.9), None, whole=False)
    assert not best(epoch(2, 0.1, 1.0), epoch(1, 0.5, 0.9), whole=False)


def test_patience_counts_validated_epochs():
    records = [epoch(0, 3.0), epoch(1, 1.0), epoch(2, None), epoch(3, 1.5), epoch(4, 2.0)]
    assert out_of_patience(records, 1, 2)
    assert not out_of_patience(records, 1, 3)
    assert not out_of_patience(records[:4], 1, 2)
    assert not out_of_patience(records, None, 1)
    assert not out_of_patience(records, 1, None)
