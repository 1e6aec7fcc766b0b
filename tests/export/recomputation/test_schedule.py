"""What lives when, by hand."""

from __future__ import annotations

import dataclasses

from tapes import chain, operation, tape

from edgetrain.export.recomputation.schedule import repeated_work, schedule


def test_all_kept() -> None:
    # Input 10, wide 100, narrow 10, wide 100, loss 1; gradients of the same sizes.
    steps = schedule(chain(4), {1, 2, 3, 4})
    assert [call.again for call in steps.calls] == [False] * 8
    assert steps.live == (110, 120, 220, 221, 321, 231, 221, 121)
    assert steps.peak == 321
    assert steps.repeated == 0


def test_made_again_right_before_its_first_use() -> None:
    steps = schedule(chain(4), {2, 3, 4})
    assert [call.again for call in steps.calls] == [False] * 6 + [True] + [False] * 2
    assert steps.live == (110, 120, 120, 121, 221, 131, 121, 221, 121)
    assert steps.repeated == repeated_work(chain(4), {2, 3, 4}) == 1000


def test_chains_are_made_again_from_what_is_kept() -> None:
    steps = schedule(chain(4), {4})
    again = [call.operation.makes for call in steps.calls if call.again]
    assert again == [(1,), (2,), (3,)]
    assert steps.repeated == 3000


def test_a_result_in_place_of_an_argument_counts_once() -> None:
    forward = [operation([0], 1), dataclasses.replace(operation([1], 2), over=(1,)), operation([2], 3)]
    assert schedule(tape([8, 50, 50, 1], forward, []), set()).live == (58, 50, 51)
    kept = schedule(tape([8, 50, 50, 1, 1], forward, [operation([1], 4)]), {1})
    assert kept.live == (58, 100, 101, 52)
