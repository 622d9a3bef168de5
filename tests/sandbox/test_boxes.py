"""What a box is: one suite, which every backend has to pass."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mergekit_cycleqd.sandbox.base import Backend, Box, Result, SandboxError

pytest_plugins = ("tests.support.boxes",)


def bash(box: Box, commands: str, timeout: float | None = None) -> Result:
    return box.run(["bash", "-c", commands], timeout=timeout)


def test_a_file_that_was_written_is_gone_in_the_next_box(backend: Backend) -> None:
    with backend.open() as box:
        bash(box, "echo here | tee /kept /etc/kept /root/kept /tmp/kept /dev/shm/kept; rm -rf /opt")
        assert bash(box, "cat /kept /etc/kept").output == "here\nhere\n"
    with backend.open() as box:
        assert bash(box, "ls -d /kept /etc/kept /root/kept /tmp/kept /dev/shm/kept").output == ""
        assert bash(box, "ls -d /opt").output == "/opt\n"


def test_what_one_box_writes_no_other_box_sees(backend: Backend) -> None:
    with backend.open() as one, backend.open() as other:
        bash(one, "echo secret > /tmp/x; sleep 50 &")
        assert bash(other, "cat /tmp/x").returncode == 1
        assert "sleep" not in bash(other, "ps -A").output


def test_stdin_stdout_stderr_and_the_status_arrive(box: Box) -> None:
    result = box.run(["bash", "-c", "cat; echo wrong >&2; exit 7"], stdin="one\ntwo")
    assert result == Result(7, "one\ntwo", "wrong\n")


def test_a_large_input_arrives_whole(box: Box) -> None:
    assert box.run(["wc", "-c"], stdin="x" * 3_000_000).output == "3000000\n"


def test_an_input_that_nobody_reads_does_not_matter(box: Box) -> None:
    assert box.run(["true"], stdin="x" * 3_000_000) == Result(0, "")


def test_text_of_all_scripts_passes_both_ways(box: Box) -> None:
    text = "naïve – 日本 🧪 \u202e"
    assert box.run(["cat"], stdin=text).output == text
    assert box.run(["printf", "%s", text]).output == text
    assert box.run(["printenv", "X"], env={"X": text}).output == text + "\n"


def test_half_a_surrogate_pair_is_replaced(box: Box) -> None:
    assert box.run(["printf", "%s", "a\ud800b"], stdin="\ud800").output == "a?b"


def test_bytes_that_are_no_text_are_replaced(box: Box) -> None:
    assert box.run(["printf", r"\xff\xfe ok"]).output == "\ufffd\ufffd ok"


def test_a_program_that_is_not_there_is_a_result(box: Box) -> None:
    missing = box.run(["no-such-program"])
    assert (missing.returncode, missing.output) == (127, "")
    assert "no-such-program" in missing.errors
    assert box.run(["/etc"]).returncode == 126
    assert box.run(["a\0b"]).returncode == 126


def test_a_program_ended_by_a_signal_has_its_status(box: Box) -> None:
    assert bash(box, "kill -TERM $$").returncode == 128 + 15


def test_commands_run_as_root_at_home_with_the_variables_given(box: Box) -> None:
    assert bash(box, "id -u; pwd; echo $HOME; echo $X").output == "0\n/root\n/root\n\n"
    given = box.run(["bash", "-c", "echo $X $HOME"], env={"X": "1", "HOME": "/tmp"})
    assert given.output == "1 /tmp\n"


def test_no_variable_of_the_host_is_there(
    backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CYCLEQD_SECRET", "hidden")
    with backend.open() as box:
        assert "hidden" not in bash(box, "env; cat /proc/1/environ").output


def test_the_usual_programs_are_there(box: Box) -> None:
    programs = "python3 pip git vi curl wget unzip zip tree ps awk find"
    assert bash(box, f"which {programs} | wc -l").output == f"{len(programs.split())}\n"


def test_users_can_be_added_and_become(box: Box) -> None:
    done = bash(box, "useradd -m jack && su - jack -c 'whoami; pwd; touch x; touch /etc/x'")
    assert done.output == "jack\n/home/jack\n"
    assert "Permission denied" in done.errors
    assert bash(box, "chown jack:jack /tmp; stat -c %U /tmp").output == "jack\n"
    assert bash(box, "su - jack -c 'cat /etc/shadow'").returncode == 1


def test_there_is_no_network(box: Box) -> None:
    connect = "import socket; socket.create_connection(('192.0.2.1', 80), 3)"
    assert "unreachable" in box.run(["python3", "-c", connect]).errors
    assert bash(box, "curl -sS -m 5 http://example.com").returncode == 6


def test_servers_in_the_box_are_reached_from_it_alone(box: Box) -> None:
    assert bash(box, "python3 -m http.server 8123 >/dev/null 2>&1 &").returncode == 0
    waited = bash(
        box, "for i in $(seq 50); do curl -s -o /dev/null localhost:8123 && break; sleep 0.1; done"
    )
    assert waited.returncode == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", 8123), 3)


def test_memory_is_limited(box: Box) -> None:
    one = "x = bytearray(512 << 20)"
    many = "import os; [os.fork() for _ in range(3)]; x = bytearray(96 << 20); os.wait()"
    assert box.run(["python3", "-c", one]).returncode == 137
    assert bash(box, f"python3 -c '{many}'; dmesg; echo still here").output == "still here\n"


def test_the_number_of_processes_is_limited(backend: Backend, box: Box) -> None:
    fork = """
import os, time
for count in range(200):
    try:
        if not os.fork():
            time.sleep(30)
            os._exit(0)
    except BlockingIOError:
        break
print(count)
"""
    count = int(box.run(["python3", "-c", fork]).output)
    assert backend.limits.processes - 3 <= count < backend.limits.processes
    assert box.run(["true"]).returncode == 0
    assert "fork" in box.run(["sh", "-c", "sleep 0.1 & sleep 0.1 & sleep 0.1"]).errors


def test_output_is_cut_at_its_limit_and_the_command_goes_on(backend: Backend, box: Box) -> None:
    done = bash(box, "head -c 1000000 /dev/zero | tr '\\0' x; touch /tmp/end; exit 3")
    assert done == Result(3, "x" * backend.limits.output, "", truncated=True)
    assert bash(box, "ls /tmp/end").returncode == 0


def test_output_of_exactly_the_limit_is_not_cut(backend: Backend, box: Box) -> None:
    limit = backend.limits.output
    assert bash(box, f"head -c {limit} /dev/zero | tr '\\0' x") == Result(0, "x" * limit)


def test_a_file_larger_than_the_disk_is_not_written(backend: Backend, box: Box) -> None:
    done = bash(box, "head -c 10G /dev/zero > /large; stat -c %s /large")
    assert int(done.output) <= backend.limits.disk
    assert "exceeded" in done.errors or "No space left" in done.errors


def test_files_that_are_too_large_together_make_the_command_fail(box: Box) -> None:
    write = "for i in $(seq 200); do head -c 1M /dev/zero > /f$i || exit 1; done; sleep 10"
    assert bash(box, write).returncode in (1, 137)
    assert bash(box, "exit 0").returncode in (0, 137)


def test_time_ends_a_command_and_all_that_it_started(box: Box) -> None:
    started = "sleep 1001 & (setsid sleep 1002 & ) ; nohup sleep 1003 >/dev/null 2>&1 & sleep 1004"
    done = bash(box, f"echo before; {started}", timeout=1)
    assert done.timed_out
    assert done.output == "before\n"
    assert "sleep" not in bash(box, "ps -A").output


def test_nothing_of_a_command_goes_on_after_its_time(box: Box) -> None:
    script = "sleep 100; touch /tmp/after"
    assert bash(box, f"bash -c '{script}'; bash -c '{script}' & {script}", timeout=0.3).timed_out
    assert box.shell().run(f"({script}); {script}", timeout=0.3).timed_out
    assert bash(box, "ls /tmp").output == ""


def test_without_a_time_of_its_own_a_command_has_that_of_the_box(
    hurried_backend: Backend,
) -> None:
    with hurried_backend.open() as box:
        assert box.run(["sleep", "30"]).timed_out
        assert box.shell().run("sleep 30").timed_out


def test_background_processes_live_on_until_the_box_is_closed(box: Box) -> None:
    bash(box, "(while true; do date >> /tmp/ticks; sleep 0.05; done) &")
    assert bash(box, "sleep 0.3; pgrep -f ticks | wc -l; ps -A | grep -c bash").returncode == 0
    before = int(bash(box, "wc -l < /tmp/ticks").output)
    assert int(bash(box, "sleep 0.5; wc -l < /tmp/ticks").output) > before


def test_a_background_process_that_prints_is_not_waited_for(box: Box) -> None:
    assert bash(box, "(sleep 0.5; echo late; echo alive > /tmp/alive) & echo now").output == "now\n"
    assert bash(box, "sleep 1; cat /tmp/alive").output == "alive\n"


def test_a_time_out_spares_what_earlier_commands_left_running(box: Box) -> None:
    bash(box, "sleep 1001 &")
    box.shell().run("sleep 1002 &")
    assert bash(box, "sleep 1003", timeout=0.5).timed_out
    assert box.shell().run("sleep 1004", timeout=0.5).timed_out
    assert (
        bash(box, "ps -A -o args | grep '^sleep 100' | sort").output == "sleep 1001\nsleep 1002\n"
    )


def test_several_boxes_work_at_once_from_threads(backend: Backend) -> None:
    barrier = threading.Barrier(6)

    def work(number: int) -> str:
        with backend.open() as box:
            barrier.wait(60)
            shell = box.shell()
            shell.run(f"x={number}; echo $x > /tmp/x")
            return shell.run("cat /tmp/x; ls /tmp; echo $x").output

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(work, range(6))) == [f"{n}\nx\n{n}\n" for n in range(6)]


def test_a_box_outlives_the_thread_that_opened_it(backend: Backend) -> None:
    with ThreadPoolExecutor(1) as pool:
        box = pool.submit(backend.open).result()
    with box:
        assert bash(box, "sleep 0.3; echo here").output == "here\n"


def test_a_closed_box_says_so(backend: Backend) -> None:
    box = backend.open()
    box.close()
    box.close()
    with pytest.raises(SandboxError, match="closed"):
        box.run(["true"])


def test_closing_a_box_ends_the_command_that_runs_in_it(backend: Backend) -> None:
    box = backend.open()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(box.run, ["sleep", "1000"], timeout=1000)
        time.sleep(0.2)
        box.close()
        with pytest.raises(SandboxError, match="closed"):
            running.result(30)


def test_a_command_without_a_program_is_refused(box: Box) -> None:
    with pytest.raises(ValueError, match="needs a program"):
        box.run([])
