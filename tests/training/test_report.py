from edgetrain.artifacts.history import EpochRecord
from edgetrain.tasks.base import LOSS
from edgetrain.tasks.classification import Classification
from edgetrain.tasks.next_token import NextToken
from edgetrain.tasks.regression import Regression
from edgetrain.training.report import describe

RECORD = EpochRecord(epoch=2, train_loss=0.25, val_loss=0.5, train_time_s=1.25)


def test_every_metric_of_both_parts() -> None:
    record = RECORD.with_figures("train", {"accuracy": 0.9125}).with_figures("val", {"accuracy": 0.901})
    assert describe(record, [LOSS, *Classification.metrics], 5, is_best=True) == (
        "epoch 2/5: loss 0.2500, accuracy 91.25%, validation loss 0.5000, accuracy 90.10%, 1.2 s, best so far"
    )


def test_metrics_that_are_no_shares() -> None:
    record = RECORD.with_figures("val", {"perplexity": 1.65, "token_accuracy": 0.5})
    assert describe(record, [LOSS, *NextToken.metrics], 5, is_best=False) == (
        "epoch 2/5: loss 0.2500, validation loss 0.5000, perplexity 1.6500, token accuracy 50.00%, 1.2 s"
    )


def test_a_loss_alone() -> None:
    text = describe(RECORD, [LOSS, *Regression.metrics], 5, is_best=False)
    assert text == "epoch 2/5: loss 0.2500, validation loss 0.5000, 1.2 s"
