"""A filter of system calls: the root user of a box is the machine's, with few capabilities.

Namespaces and capabilities give most of the isolation. The filter closes what they leave open:

- New namespaces: in them a process has all capabilities and can attack more of the kernel.
- Keys, and sockets that no namespace isolates.
- The agent's limits.
- What the kernel counts for a user or the whole machine, and so for other boxes too: contexts of
  asynchronous input and output, inotify, timers. Programs are told that the kernel lacks them.

Docker's filter, if there is one, applies too.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _MODE_FILTER = 22, 38, 2
_STEP = struct.Struct("=HBBI")
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_REFUSED = _ERRNO | errno.EPERM
# NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
_NEW_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x60000000
_X32_CALLS = 0x40000000
_SOCKETS = {"unix": 1, "inet": 2, "inet6": 10, "netlink": 16}
_TERMINAL_INPUT = {"TIOCSTI": 0x5412, "TIOCLINUX": 0x541C}

# System call numbers of x86_64 and of aarch64.
_FORBIDDEN = {
    "add_key": (248, 217),
    "bpf": (321, 280),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "init_module": (175, 105),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_by_handle_at": (304, 265),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pivot_root": (155, 41),
    "request_key": (249, 218),
    "setns": (308, 268),
    "syslog": (103, 116),
    "umount2": (166, 39),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
}
# One box could take all that the machine, or its root user, may have of these. Programs do without:
# `timeout` takes alarm, `tail -f` looks again and again.
_ABSENT = {
    "fanotify_init": (300, 262),
    "inotify_init": (253, None),
    "inotify_init1": (294, 26),
    "io_setup": (206, 0),
    "timer_create": (222, 107),
}
# For these the filter also checks an argument.
_CLONE, _CLONE3, _SOCKET = (56, 220), (435, 435), (41, 198)
_IOCTL, _PRLIMIT = (16, 29), (302, 261)
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}

_Step = tuple[int, int, int, int]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.c_void_p))


def install_filter() -> None:
    """Apply the filter to this process and to all that it starts.

    Raises:
        OSError: If the kernel refuses, or the system calls of this machine are not known.
    """
    content = _program(platform.machine())
    buffer = ctypes.create_string_buffer(content, len(content))
    program = _Program(len(content) // _STEP.size, ctypes.addressof(buffer))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for arguments in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0),
    ):
        if prctl(*arguments):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "seccomp")


def _program(machine: str) -> bytes:
    """Assemble the filter in the kernel's form, an array of struct sock_filter."""
    if machine not in _MACHINES:
        raise OSError(errno.ENOSYS, f"boxes need x86_64 or aarch64, and this is {machine}")
    column, architecture = _MACHINES[machine]
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        *_refuse_if((_AT_LEAST, _X32_CALLS)),
        (_EQUAL, 0, 1, _CLONE3[column]),
        # A filter cannot see the flags of clone3. Without it programs use clone.
        (_RETURN, 0, 0, _ERRNO | errno.ENOSYS),
    ]
    for absent in _ABSENT.values():
        if (number := absent[column]) is not None:
            steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    for numbers in _FORBIDDEN.values():
        steps += _refuse_if((_EQUAL, numbers[column]))
    steps += _check_argument(
        _CLONE[column], _FIRST_ARGUMENT, _refuse_if((_ANY_BIT, _NEW_NAMESPACES))
    )
    for value in _TERMINAL_INPUT.values():
        steps += _check_argument(_IOCTL[column], _SECOND_ARGUMENT, _refuse_if((_EQUAL, value)))
    steps += _check_argument(
        _SOCKET[column], _FIRST_ARGUMENT, _refuse_unless(list(_SOCKETS.values()))
    )
    # Refuse limits of other processes: commands may have the agent's user.
    steps += _check_argument(_PRLIMIT[column], _FIRST_ARGUMENT, _refuse_unless([0]))
    steps.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(_STEP.pack(*step) for step in steps)


def _refuse_if(test: tuple[int, int]) -> list[_Step]:
    code, value = test
    return [(code, 0, 1, value), (_RETURN, 0, 0, _REFUSED)]


def _refuse_unless(values: list[int]) -> list[_Step]:
    last = len(values)
    tests = [(_EQUAL, last - index, 0, value) for index, value in enumerate(values)]
    return [*tests, (_RETURN, 0, 0, _REFUSED)]


def _check_argument(number: int, argument: int, steps: list[_Step]) -> list[_Step]:
    """Make steps that check an argument of one system call, then load the number again."""
    inner = [(_LOAD, 0, 0, argument), *steps, (_LOAD, 0, 0, _NUMBER)]
    return [(_EQUAL, 0, len(inner), number), *inner]
