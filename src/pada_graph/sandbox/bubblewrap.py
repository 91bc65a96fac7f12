"""The command line of one sandbox: bubblewrap with nothing of the host but Python's own files, and a filter.

No network, no /proc, no /dev, no home, no /etc, and no folder that can be written. A root caller first becomes nobody
(setpriv): RLIMIT_NPROC means nothing to root. The filter of system calls (seccomp; --seccomp in bwrap's manual) keeps
each sandbox at one process, so that a limit on its memory is a limit on all its memory; it also refuses shared memory
that no such limit counts, further namespaces, the keyring, and what reads other processes.
"""

import os
import shutil
import struct

INSTALL = "Install what the sandbox needs: apt-get install bubblewrap util-linux python3."
ALLOW = (
    "It needs unprivileged user namespaces: on Ubuntu 24.04, "
    "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0; in a container, a security profile that allows them."
)

_PYTHON = "/usr/bin/python3"  # the system's: a Python in a home folder is out of nobody's reach
_NOBODY = "65534"
_MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column below, AUDIT_ARCH_* (linux/audit.h)
_REFUSED = {  # x86_64, aarch64 (asm/unistd_64.h, asm-generic/unistd.h); None: it has no such call
    "fork": (57, None),
    "vfork": (58, None),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "memfd_secret": (447, 447),
}
_CLONE, _CLONE3 = (56, 220), 435
_CLONE_THREAD, _X32 = 0x00010000, 0x40000000
_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # linux/bpf_common.h
_ALLOW_CALL, _FAIL_CALL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000  # linux/seccomp.h
_EPERM, _ENOSYS = 1, 38


def missing() -> str:
    """What the sandbox needs and this machine lacks, as words for a message; empty if nothing."""
    tools = ("bwrap", "setpriv", _PYTHON) if os.getuid() == 0 else ("bwrap", _PYTHON)
    lacking = [tool for tool in tools if shutil.which(tool) is None]
    if os.uname().machine not in _MACHINES:
        lacking.append(f"a processor of the kind {' or '.join(_MACHINES)}")
    return ", ".join(lacking)


def command(syscalls: int) -> list[str]:
    """The words that go before Python's arguments; `syscalls` is a descriptor of a file with the `syscall_filter`."""
    nobody = [_path("setpriv"), "--reuid", _NOBODY, "--regid", _NOBODY, "--clear-groups", "--no-new-privs"]
    namespaces = f"--unshare-all --unshare-user --uid {_NOBODY} --gid {_NOBODY} --cap-drop ALL --new-session"
    files = ["--ro-bind", _PYTHON, _PYTHON]
    for folder in ("/usr/lib", "/usr/lib64", "/lib", "/lib64"):
        files += ["--ro-bind-try", folder, folder]
    # As process 1 the guest is waited for by bwrap itself: where we are process 1 of a container, no zombie is left us.
    rest = f"--remount-ro / --chdir / --hostname sandbox --die-with-parent --as-pid-1 --seccomp {syscalls} {_PYTHON}"
    bwrap = [_path("bwrap"), *namespaces.split(), *files, *rest.split()]
    return [*(nobody if os.getuid() == 0 else []), *bwrap]


def _path(tool: str) -> str:
    return shutil.which(tool) or tool


def syscall_filter() -> bytes:
    """The filter for this machine.

    It is a classic BPF program over struct seccomp_data: the call's number at byte 0, the architecture at 4,
    the low half of the first argument at 16 (both machines are little-endian).
    """
    column, architecture = _MACHINES[os.uname().machine]
    program = [(_LOAD, 0, 0, 4), (_IF_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    program += [(_IF_AT_LEAST, 0, 1, _X32), (_RETURN, 0, 0, _FAIL_CALL | _EPERM)]
    for numbers in _REFUSED.values():
        if (number := numbers[column]) is not None:
            program += [(_IF_EQUAL, 0, 1, number), (_RETURN, 0, 0, _FAIL_CALL | _EPERM)]
    # Flags of clone3 lie in memory, where a filter cannot look: without it, the C library uses clone.
    program += [(_IF_EQUAL, 0, 1, _CLONE3), (_RETURN, 0, 0, _FAIL_CALL | _ENOSYS)]
    program += [(_IF_EQUAL, 0, 3, _CLONE[column]), (_LOAD, 0, 0, 16), (_IF_ANY_BIT, 1, 0, _CLONE_THREAD)]
    program += [(_RETURN, 0, 0, _FAIL_CALL | _EPERM), (_RETURN, 0, 0, _ALLOW_CALL)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
