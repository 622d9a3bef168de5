"""The login shell of a box: what stays between calls, and what cannot confuse it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mergekit_cycleqd.sandbox.base import Backend, Box, Result, Shell

pytest_plugins = ("tests.support.boxes",)


@pytest.fixture
def shell(box: Box) -> Shell:
    return box.shell()


@pytest.fixture(scope="module")
def lasting(backend: Backend) -> Iterator[Shell]:
    """One shell for tests that shall leave it as it was."""
    with backend.open() as box:
        yield box.shell()


def test_directory_variables_and_functions_stay(shell: Shell) -> None:
    shell.run("cd /etc; x=3; export y=4; f() { echo f$1; }")
    assert shell.run("pwd; echo $x; printenv y; f 1").output == "/etc\n3\n4\nf1\n"


def test_it_is_a_login_shell_at_home(shell: Shell) -> None:
    done = shell.run("shopt -q login_shell && echo login; pwd; echo $HOME; whoami")
    assert done.output == "login\n/root\n/root\nroot\n"


def test_a_box_has_one_shell(box: Box) -> None:
    box.shell().run("x=1")
    assert box.shell().run("echo $x").output == "1\n"


def test_both_streams_come_together_in_order(shell: Shell) -> None:
    assert shell.run("echo a; echo b >&2; echo c") == Result(0, "a\nb\nc\n")


def test_the_status_is_that_of_the_last_command_and_stays(shell: Shell) -> None:
    assert shell.run("true; (exit 7)").returncode == 7
    assert shell.run("echo $?; true").output == "7\n"
    assert shell.run("echo $?").output == "0\n"


@pytest.mark.parametrize(
    ("commands", "output"),
    [
        ("printf 'no newline'", "no newline"),
        ("", ""),
        ("\n\n  \n", ""),
        ("# a comment", ""),
        ("-x 2>/dev/null; echo $?", "127\n"),
        ("echo a \\", "a\n"),
        ("printf '\\377\\000x'", "\ufffd\0x"),
        ("echo a\0b", "ab\n"),
        ("cat <<END\n$((1 + 1)) 'x'\nEND", "2 'x'\n"),
        ("for i in 1 2\ndo\n  echo $i\ndone", "1\n2\n"),
        ("echo 日本 '\"' \"'\"", "日本 \" '\n"),
        ("echo a\u2028b\fc\rd", "a\u2028b\fc\rd\n"),
        ("su 0; echo su 0", None),
        ("echo 0123456789abcdef 0 >&8; echo x", "x\n"),
        ("exec 8>/dev/null; echo y; exec 8>&-", None),
    ],
)
def test_no_text_confuses_the_end(lasting: Shell, commands: str, output: str | None) -> None:
    done = lasting.run(commands, timeout=1)
    if output is not None:
        assert done.output == output
    assert lasting.run("echo fine").output == "fine\n"


def test_a_flood_where_the_host_listens_costs_this_shell_alone(shell: Shell) -> None:
    shell.run("(while :; do echo su 0; done) >&8 & yes >&8", timeout=1)
    shell.run("pkill yes; kill $!; exit", timeout=5)
    assert shell.run("echo fine", timeout=5).output == "fine\n"


@pytest.mark.parametrize(
    "commands", ["echo 'open", 'echo "open', "echo $(open", "if true; then", "done", "echo `x", ")"]
)
def test_commands_that_do_not_parse_fail_at_once(shell: Shell, commands: str) -> None:
    shell.run("x=kept")
    done = shell.run(commands)
    assert done.returncode in (1, 2)
    assert "unexpected" in done.output
    assert shell.run("echo $x").output == "kept\n"


def test_lines_before_one_that_does_not_parse_are_run(shell: Shell) -> None:
    assert shell.run("echo one\necho two\necho )").output.startswith("one\ntwo\nbash: ")


def test_a_here_document_without_its_end_ends_with_the_commands(shell: Shell) -> None:
    assert "text" in shell.run("cat <<END\ntext").output
    assert shell.run("echo fine").output == "fine\n"


@pytest.mark.parametrize("commands", ["cat", "read line", "python3", "bash", "ssh-keygen; cat -"])
def test_commands_that_read_see_end_of_file(lasting: Shell, commands: str) -> None:
    assert not lasting.run(commands).timed_out
    assert lasting.run("echo fine").output == "fine\n"


def test_pipes_and_redirected_input_work(shell: Shell) -> None:
    assert shell.run("echo a | cat; cat < /etc/hostname; cat <<< b").output == "a\nbox\nb\n"


def test_exit_gives_a_new_shell(shell: Shell) -> None:
    shell.run("cd /etc; x=1")
    assert shell.run("echo bye; exit 3; echo never") == Result(3, "bye\n")
    assert shell.run("pwd; echo $x").output == "/root\n\n"


def test_exec_replaces_the_shell_and_then_there_is_a_new_one(shell: Shell) -> None:
    assert shell.run("exec echo last") == Result(0, "last\n")
    assert shell.run("echo first") == Result(0, "first\n")


def test_a_killed_shell_is_followed_by_a_new_one(shell: Shell) -> None:
    assert shell.run("kill -9 $$").returncode == 137
    assert shell.run("sleep 100 & kill -9 -1; wait; echo mine").output.endswith("mine\n")
    assert shell.run("echo fine") == Result(0, "fine\n")


def test_a_time_out_keeps_what_was_printed_and_gives_a_new_shell(shell: Shell) -> None:
    shell.run("cd /etc; x=1")
    done = shell.run("echo before; sleep 100; echo after", timeout=0.5)
    assert (done.timed_out, done.output) == (True, "before\n")
    assert shell.run("pwd; echo $x; ps -A | grep -c sleep").output == "/root\n\n0\n"


def test_a_loop_without_processes_is_ended_too(shell: Shell) -> None:
    assert shell.run("while :; do :; done", timeout=0.5).timed_out
    assert shell.run("echo fine").output == "fine\n"


def test_output_is_cut_at_its_limit(backend: Backend, shell: Shell) -> None:
    done = shell.run("yes | head -c 1000000; x=5")
    assert (len(done.output), done.truncated, done.returncode) == (backend.limits.output, True, 0)
    assert shell.run("echo $x") == Result(0, "5\n")


def test_background_processes_print_into_later_calls(shell: Shell) -> None:
    shell.run("(sleep 0.2; echo from behind) &")
    assert shell.run("sleep 0.6; echo now").output == "from behind\nnow\n"


def test_another_user_stays_until_exit(shell: Shell) -> None:
    shell.run("useradd -m -s /bin/bash jack; useradd -m jill; cd /etc; x=root")
    for user in ("jack", "jill"):
        assert shell.run(f"su - {user}") == Result(0, "")
        assert shell.run("whoami; pwd; x=1; cd /tmp").output == f"{user}\n/home/{user}\n"
        assert shell.run("pwd; echo $x; touch /etc/x").output.startswith("/tmp\n1\n")
        assert shell.run("exit 5").returncode == 5
        assert shell.run("whoami; pwd; echo $x").output == "root\n/etc\nroot\n"


def test_lines_after_su_are_for_the_other_user(shell: Shell) -> None:
    done = shell.run("useradd -m jack; su - jack\nwhoami\npwd\nexit\nwhoami")
    assert done.output == "jack\n/home/jack\nroot\n"


def test_su_with_a_command_returns(shell: Shell) -> None:
    shell.run("useradd -m jack")
    assert shell.run("su jack -c 'whoami; cat'; whoami").output == "jack\nroot\n"


def test_su_to_nobody_known_fails_and_the_shell_stays(shell: Shell) -> None:
    shell.run("x=1")
    done = shell.run("su - nobody_known")
    assert (done.returncode, "does not exist" in done.output) == (1, True)
    assert shell.run("echo $x").output == "1\n"


def test_su_back_to_root_needs_the_password_and_does_not_hang(shell: Shell) -> None:
    shell.run("useradd -m jack; su - jack")
    assert not shell.run("su -").timed_out
    assert shell.run("whoami").output == "jack\n"


def test_a_time_out_as_another_user_gives_a_new_shell_of_root(shell: Shell) -> None:
    shell.run("useradd -m -s /bin/bash jack; su - jack")
    assert shell.run("sleep 100; touch /tmp/after", timeout=0.5).timed_out
    assert shell.run("whoami; ls /tmp; ps -A -o user= | grep -c jack").output == "root\n0\n"


def test_run_and_shell_share_the_box(box: Box, shell: Shell) -> None:
    begun = "until [ $(ps -o comm= $!) = sleep ]; do :; done"  # a fork is not a sleep yet
    shell.run(f"echo one > /tmp/x; sleep 1001 & {begun}")
    assert box.run(["cat", "/tmp/x"]).output == "one\n"
    assert box.run(["pgrep", "-c", "sleep"]).output == "1\n"
