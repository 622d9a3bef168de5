from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
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


def ended_by(sent: signal.Signals, child: int) -> int:
    """Send a signal to a forked process. Returns the signal that ended it; 0 if none did."""
    os.kill(child, sent)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return 0


@pytest.mark.parametrize("inside", ["welcome", "elsewhere", "nested"])
def test_a_forked_process_is_ended_by_a_signal_and_says_nothing(
    sent: signal.Signals, inside: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with contextlib.ExitStack() as stack:
        interrupts = stack.enter_context(Interrupts())
        if inside == "nested":
            interrupts = stack.enter_context(Interrupts())
        if inside != "elsewhere":
            stack.enter_context(interrupts.welcome())
        child = os.fork()
        if not child:
            try:
                time.sleep(60)
            except BaseException:
                traceback.print_exc()
            os._exit(0)
        assert ended_by(sent, child) == sent
    assert capfd.readouterr() == ("", "")


def test_a_process_forked_where_a_signal_is_ignored_ignores_it() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as of a job in the background
    try:
        with Interrupts():
            child = os.fork()
            if not child:
                signal.raise_signal(signal.SIGINT)
                os._exit(3)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    finally:
        signal.signal(signal.SIGINT, before)


def test_signals_reach_this_process_after_a_fork(sent: signal.Signals) -> None:
    with Interrupts() as interrupts, pytest.raises(KeyboardInterrupt):  # noqa: SIM117
        with interrupts.welcome():
            child = os.fork()
            if not child:
                os._exit(0)
            os.waitpid(child, 0)
            assert not {signal.SIGINT, signal.SIGTERM} & signal.pthread_sigmask(0, ())
            signal.raise_signal(sent)


POOLS = """
import multiprocessing
from mergekit_cycleqd.system.interrupts import Interrupts
with Interrupts() as interrupts, interrupts.welcome():
    for _ in range(20):
        with multiprocessing.get_context("fork").Pool(4) as pool:
            pool.map(abs, range(4))
print("done")
"""


def test_pools_of_forked_workers_end_quietly() -> None:
    done = subprocess.run(
        [sys.executable, "-c", POOLS], capture_output=True, text=True, timeout=100
    )
    assert (done.stdout, done.stderr) == ("done\n", "")
