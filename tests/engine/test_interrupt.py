import os
import signal
import threading
import time

import pytest

from edgetrain.engine.interrupt import Interrupt, catch_interrupts


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_is_a_request_and_a_later_one_stops(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    before = signal.getsignal(number)
    with catch_interrupts() as interrupt:
        assert not interrupt.requested
        os.kill(os.getpid(), number)
        assert interrupt.requested
        os.kill(os.getpid(), number)  # the same Ctrl-C, passed on by torchrun
        clock[0] += 2
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_handlers_come_back_after_an_error() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="inside"), catch_interrupts():
        raise ValueError("inside")
    assert signal.getsignal(signal.SIGINT) is before


def test_harmless_in_another_thread() -> None:
    seen: list[Interrupt] = []

    def work() -> None:
        with catch_interrupts() as interrupt:
            seen.append(interrupt)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not seen[0].requested
