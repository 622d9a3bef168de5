"""What takes too long ends."""

from __future__ import annotations

import signal
import threading

import pytest

from mergekit_cycleqd.system.time_limit import time_limit


def test_a_loop_without_end_ends() -> None:
    with pytest.raises(TimeoutError, match=r"more than 0\.05 seconds"), time_limit(0.05):
        while True:
            pass
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL


def test_other_threads_and_timers_are_left_alone() -> None:
    found = []

    def work() -> None:
        with time_limit(0.001):
            found.append(sum(range(200_000)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found
    with time_limit(60):
        before = signal.getsignal(signal.SIGALRM)
        with time_limit(0.001):
            assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
