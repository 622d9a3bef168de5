from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

import pytest

from mergekit_cycleqd.system.interrupts import Interrupts


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def sent(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    before = signal.getsignal(request.param)
    yield request.param
    assert signal.getsignal(request.param) is before, "handlers were not given back"


def test_a_signal_is_raised_where_it_is_welcome(sent: signal.Signals) -> None:
    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt):  # noqa: SIM117
        with interrupts.welcome():
            signal.raise_signal(sent)
            pytest.fail("went on")


def test_a_signal_elsewhere_waits_for_the_next_welcome(sent: signal.Signals) -> None:
    with Interrupts() as interrupts:
        signal.raise_signal(sent)
        with pytest.raises(KeyboardInterrupt), interrupts.welcome():
            pytest.fail("began what was to be interrupted")


def test_a_signal_that_the_work_swallows_is_raised_after_it(sent: signal.Signals) -> None:
    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt):  # noqa: SIM117
        with interrupts.welcome():
            with contextlib.suppress(KeyboardInterrupt):
                signal.raise_signal(sent)


def test_a_signal_after_the_last_welcome_is_dropped(sent: signal.Signals) -> None:
    with Interrupts() as interrupts:
        with interrupts.welcome():
            pass
        signal.raise_signal(sent)


def test_another_thread_leaves_the_handlers_alone() -> None:
    found = []

    def work() -> None:
        with Interrupts() as interrupts, interrupts.welcome():
            found.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [before]
