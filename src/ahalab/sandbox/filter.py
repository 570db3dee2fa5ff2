"""The system-call filter, made by libseccomp: what ordinary programs need is allowed, all else is refused.

libseccomp (LGPL-2.1, kept since 2012, part of every Debian, Ubuntu and Fedora: apt and systemd need it) knows the call
numbers of each architecture. It is reached by ctypes: the binding on PyPI that needs no compiler, pyseccomp, has had no
release since 2021, and six functions are all that is used. The filter leaves it as classic BPF, which the kernel takes
from a process that has no library at all.

Allowing by name, not forbidding by name: a call that a kernel of next year adds is refused until somebody has thought
about it.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import tempfile
from collections.abc import Iterator

LIBRARY = "libseccomp.so.2"

_ALLOW, _ERRNO, _KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
_EQ, _MASKED_EQ = 4, 7
_BAD_ARCHITECTURE, _OPTIMIZE = 2, 8  # enum scmp_filter_attr
_NO_SUCH_CALL = -1

_FILES = """
read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2 open openat close close_range creat lseek
_llseek stat fstat lstat newfstatat stat64 fstat64 lstat64 fstatat64 statx statfs fstatfs statfs64 fstatfs64 access
faccessat faccessat2 dup dup2 dup3 fcntl fcntl64 flock fsync fdatasync truncate ftruncate truncate64 ftruncate64
getdents getdents64 getcwd chdir fchdir rename renameat renameat2 mkdir mkdirat rmdir link linkat unlink unlinkat
symlink symlinkat readlink readlinkat chmod fchmod fchmodat fchmodat2 umask utime utimes utimensat futimesat fallocate
fadvise64 readahead sendfile sendfile64 copy_file_range pipe pipe2 poll ppoll select pselect6 _newselect
getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr
epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd eventfd2
"""
_MEMORY = "brk mmap mmap2 mprotect munmap mremap madvise mincore msync"
_TIME = """
time times gettimeofday clock_gettime clock_getres nanosleep clock_nanosleep alarm getitimer setitimer timer_create
timer_settime timer_gettime timer_getoverrun timer_delete timerfd_create timerfd_settime timerfd_gettime
"""
_PROCESSES = """
exit exit_group fork vfork execve execveat wait4 waitid waitpid kill tkill tgkill pause rt_sigaction rt_sigprocmask
rt_sigreturn sigreturn rt_sigpending rt_sigsuspend rt_sigtimedwait sigaltstack signalfd signalfd4 futex set_robust_list
get_robust_list set_tid_address rseq membarrier arch_prctl restart_syscall getpid getppid gettid getuid geteuid getgid
getegid getresuid getresgid getgroups getpgrp getpgid getsid setpgid setsid getpriority getrusage getrlimit ugetrlimit
setrlimit sysinfo uname getcpu getrandom sched_yield sched_getaffinity sched_getparam sched_getscheduler
sched_get_priority_max sched_get_priority_min
"""
_PAIRS = "shutdown getsockname getpeername getsockopt"
"""On a pair of connected ends within the program, which asyncio makes for itself."""

_FORBIDDEN = """
ptrace process_vm_readv process_vm_writev kcmp pidfd_open pidfd_getfd pidfd_send_signal process_madvise
mount umount umount2 pivot_root chroot fsopen fsconfig fsmount fspick open_tree move_mount mount_setattr
unshare setns bpf perf_event_open userfaultfd keyctl add_key request_key seccomp personality modify_ldt
clock_settime clock_adjtime settimeofday adjtimex stime kexec_load kexec_file_load init_module finit_module
delete_module reboot swapon swapoff acct syslog iopl ioperm quotactl quotactl_fd vhangup sethostname setdomainname
socket connect bind listen accept accept4 sendmsg recvmsg sendmmsg recvmmsg setsockopt
memfd_create memfd_secret io_uring_setup io_uring_enter io_uring_register fanotify_init inotify_init inotify_init1
open_by_handle_at name_to_handle_at shmget shmat shmctl shmdt msgget msgsnd msgrcv msgctl semget semop semtimedop semctl
mq_open mq_unlink setuid setgid setreuid setregid setresuid setresgid setfsuid setfsgid setgroups capset chown fchown
lchown fchownat mknod mknodat setpriority nice sched_setaffinity sched_setscheduler sched_setattr sched_setparam
ioprio_set mlock mlock2 mlockall move_pages migrate_pages mbind set_mempolicy splice tee vmsplice sync syncfs
"""
"""Refused with "not permitted"; everything else, with "no such call", so that libraries fall back."""

_NEW_NAMESPACES = 0x7E020000
_OUT_OF_BAND = 1
_TERMINAL_QUESTIONS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""ioctl: TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX."""
_NAMES_ONLY = (15, 16, 0x53564D41)
"""prctl: PR_SET_NAME, PR_GET_NAME, PR_SET_VMA (the C library names its memory)."""


class _Condition(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operation", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


class FilterError(Exception):
    """The filter cannot be made; says why."""


def _conditional() -> Iterator[tuple[str, list[_Condition]]]:
    """Calls that are allowed with certain arguments only; all conditions of one must hold."""
    yield "clone", [_Condition(0, _MASKED_EQ, _NEW_NAMESPACES, 0)]
    yield "socketpair", [_Condition(0, _EQ, 1, 0), _Condition(1, _MASKED_EQ, 0xF, 1)]  # AF_UNIX, SOCK_STREAM
    in_band = _Condition(3, _MASKED_EQ, _OUT_OF_BAND, 0)
    yield "recvfrom", [in_band]
    yield "sendto", [in_band, _Condition(4, _EQ, 0, 0)]  # to nobody but the other end of the pair
    yield (
        "prlimit64",
        [_Condition(0, _EQ, 0, 0)],
    )  # one's own limits, not those of init, which has the same user
    for request in _TERMINAL_QUESTIONS:
        yield "ioctl", [_Condition(1, _MASKED_EQ, 0xFFFFFFFF, request)]
    for option in _NAMES_ONLY:
        yield "prctl", [_Condition(0, _MASKED_EQ, 0xFFFFFFFF, option)]


@functools.cache
def compiled() -> bytes:
    """The filter as classic BPF for this machine.

    Raises:
        FilterError: no libseccomp here, or it refuses.
    """
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        raise FilterError(
            f"the library libseccomp ({LIBRARY}) is not installed; "
            "`apt-get install libseccomp2` or your system's package of libseccomp brings it"
        ) from None
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(ctypes.c_uint32(_ERRNO | errno.ENOSYS)))
    if not context:
        raise FilterError("libseccomp cannot make a filter on this kernel")
    try:
        library.seccomp_attr_set(context, _BAD_ARCHITECTURE, ctypes.c_uint32(_KILL_PROCESS))
        library.seccomp_attr_set(context, _OPTIMIZE, ctypes.c_uint32(2))  # a tree, not a list; since 2.5
        for name in (_FILES + _MEMORY + _TIME + _PROCESSES + " " + _PAIRS).split():
            _rule(library, context, _ALLOW, name)
        for name in _FORBIDDEN.split():
            _rule(library, context, _ERRNO | errno.EPERM, name)
        for name, conditions in _conditional():
            _rule(library, context, _ALLOW, name, *conditions)
        return _exported(library, context)
    finally:
        library.seccomp_release(context)


def _rule(
    library: ctypes.CDLL, context: ctypes.c_void_p, action: int, name: str, *conditions: _Condition
) -> None:
    number = library.seccomp_syscall_resolve_name(name.encode())
    if number == _NO_SUCH_CALL:
        return  # not known to this libseccomp: refused like everything unknown
    array = (_Condition * len(conditions))(*conditions)
    failed = library.seccomp_rule_add_array(
        context, ctypes.c_uint32(action), ctypes.c_int(number), ctypes.c_uint(len(conditions)), array
    )
    if failed:
        raise FilterError(f"libseccomp refuses the rule for {name}: {os.strerror(-failed)}")


def _exported(library: ctypes.CDLL, context: ctypes.c_void_p) -> bytes:
    with tempfile.TemporaryFile() as file:
        failed = library.seccomp_export_bpf(context, ctypes.c_int(file.fileno()))
        if failed:
            raise FilterError(f"libseccomp cannot write the filter: {os.strerror(-failed)}")
        file.seek(0)
        return file.read()
