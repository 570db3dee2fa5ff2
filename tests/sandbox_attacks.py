"""Hostile programs, each with the statuses that are right for it. Data for the attack tests and the proof.

An attack that tries many things prints `contained` at its end, and a line `BREACH …` for whatever it got at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ahalab.sandbox.records import ProgramLanguage

CONTAINED = "contained\n"

TRY = """
import os, sys

def attempt(name, action):
    try:
        result = action()
    except (OSError, MemoryError, ValueError, AttributeError) as error:
        return error
    print("BREACH", name, repr(result)[:200])
"""


@dataclass(frozen=True)
class Attack:
    """One program. `limits` changes the limits it runs under."""

    source: str
    statuses: tuple[str, ...]
    stdout: str | None = None
    """What it must have printed; None: whatever it liked."""
    language: ProgramLanguage = "python"
    arguments: tuple[str, ...] = ()
    limits: dict[str, Any] = field(default_factory=dict)
    slow: bool = False
    """Takes its whole time limit or longer: seldom in the proof."""


def _contained(source: str, *arguments: str) -> Attack:
    return Attack(f"{TRY}{source}\nprint('contained')\n", ("ok",), CONTAINED, arguments=arguments)


HUNT = """
import gc

def words():
    seen, waiting = set(), [*gc.get_objects(), sys.modules, os.environ]
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, str):
            yield each
        elif isinstance(each, (bytes, bytearray)):
            yield each.decode("latin-1")
        else:
            waiting += gc.get_referents(each)

def files():
    for top, folders, names in os.walk("/"):
        if top.startswith(("/usr", "/lib", "/dev", sys.base_prefix)):
            folders.clear()
            continue
        for name in names:
            try:
                with open(os.path.join(top, name), "rb") as file:
                    yield os.path.join(top, name), file.read(10**6).decode("latin-1")
            except OSError:
                pass

# The mark comes in two halves, so that this program does not find itself.
mark = sys.argv[1] + sys.argv[2]
own = mark
found = [word for word in words() if mark in word and word is not own and word is not mark]
found += [f"{path}" for path, text in files() if mark in text]
if found:
    print("BREACH", found[:5])
"""

ATTACKS: dict[str, Attack] = {
    "fork bomb": Attack("import os\nwhile True:\n    os.fork()", ("process limit",)),
    "fork bomb that goes on": Attack(
        "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
        ("time limit",),
        slow=True,
    ),
    "fork bomb that flees": Attack(
        "import os\nwhile True:\n    try:\n        if os.fork():\n            os._exit(0)\n        os.setsid()\n"
        "    except OSError:\n        pass",
        ("ok", "time limit", "process limit"),
    ),
    "thread bomb": Attack(
        "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
        ("process limit",),
    ),
    "memory bomb": Attack("x = []\nwhile True:\n    x.append(bytearray(10**7))", ("memory limit",)),
    "memory bomb at once": Attack("x = bytearray(10**12)", ("memory limit",)),
    "memory bomb of many processes": Attack(
        "import os, time\nfor _ in range(6):\n    if os.fork() == 0:\n        break\n"
        "x = bytearray(b'x') * (90 * 2**20)\ntime.sleep(3)",
        ("memory limit",),
        slow=True,
    ),
    "memory bomb through a shared map": Attack(
        "import mmap\nkeep = []\nwhile True:\n    m = mmap.mmap(-1, 2**24)\n    m.write(b'x' * 2**24)\n"
        "    keep.append(m)",
        ("memory limit", "runtime error"),
    ),
    "disk fill": Attack(
        "n = 0\ntry:\n    while True:\n        with open(f'f{n}', 'wb') as f:\n            f.write(b'x' * 2**20)\n"
        "        n += 1\nexcept OSError as e:\n    print(n <= 4, e.strerror)",
        ("ok",),
        "True No space left on device\n",
    ),
    "disk fill, uncaught": Attack("open('f', 'wb').write(b'x' * 2**26)", ("runtime error",)),
    "disk fill by empty files": Attack(
        "for n in range(10**6):\n    open(f'f{n}', 'x').close()", ("runtime error", "time limit"), slow=True
    ),
    "1 GB of output": Attack(
        "import sys\nfor _ in range(1000):\n    sys.stdout.write('x' * 10**6)", ("output limit",)
    ),
    "1 GB of errors": Attack(
        "import sys\nfor _ in range(1000):\n    sys.stderr.write('x' * 10**6)", ("output limit",)
    ),
    "infinite loop": Attack("while True:\n    pass", ("time limit",), slow=True),
    "sleeping for ever": Attack(
        "import time\ntime.sleep(10**6)", ("time limit",), limits={"wall_seconds": 0.5}, slow=True
    ),
    "stopping itself": Attack(
        "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)",
        ("time limit",),
        limits={"wall_seconds": 0.5},
        slow=True,
    ),
    "ignoring signals": Attack(
        "import signal\nfor n in signal.valid_signals() - {9, 19}:\n    try:\n"
        "        signal.signal(n, signal.SIG_IGN)\n"
        "    except (OSError, ValueError):\n        pass\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
        "while True:\n    pass",
        ("time limit",),
        slow=True,
    ),
    "reading the host's files": _contained(
        "for path in ('/etc/passwd', '/etc/shadow', '/etc/hostname', '/root/.bashrc', '/root/.ssh',\n"
        "             '/home', '/var', '/work',\n"
        "             '/proc/self/environ', '/proc/1/environ', '/proc/self/root/etc/passwd', '/sys', '/boot', '/old',\n"
        "             '../../etc/passwd', '../../../../../../etc/passwd', '/run/../etc/passwd'):\n"
        "    attempt(path, lambda: open(path, 'rb').read(100) if not os.path.isdir(path) else os.listdir(path))"
    ),
    "writing outside": _contained(
        "for path in ('/x', '/usr/x', '/usr/lib/x', '/lib/x', '/dev/x', '/etc/x', '/etc/ld.so.cache', os.__file__,\n"
        "             os.path.dirname(os.__file__) + '/site-packages/x.py', sys.executable, '/root/x', '/old/x'):\n"
        "    attempt(path, lambda: open(path, 'ab').write(b'x'))\n"
        "attempt('mkdir', lambda: os.mkdir('/folder'))\n"
        "attempt('chmod', lambda: os.chmod('/usr', 0o777))\n"
        "attempt('chmod root', lambda: os.chmod('/', 0o777))\n"
        "attempt('remove', lambda: os.unlink(os.__file__))\n"
        "attempt('device', lambda: os.mknod('d', 0o60666, os.makedev(254, 0)))"
    ),
    "opening sockets": _contained(
        "import socket\n"
        "for family in (1, 2, 10, 16, 17, 38, 40):\n"
        "    for kind in (1, 2, 3, 5):\n"
        "        attempt(f'socket {family} {kind}', lambda: socket.socket(family, kind))\n"
        "a, b = socket.socketpair()\n"
        "attempt('connect', lambda: a.connect('/run/x'))\n"
        "attempt('bind', lambda: a.bind('\\0name'))\n"
        "attempt('send elsewhere', lambda: a.sendto(b'x', '\\0name'))\n"
        "attempt('out of band', lambda: a.send(b'x', socket.MSG_OOB))\n"
        "attempt('datagrams', lambda: socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))\n"
        "attempt('descriptors', lambda: socket.send_fds(a, [b'x'], [0]))\n"
        "attempt('resolve', lambda: socket.create_connection(('localhost', 80), 1))"
    ),
    "killing everybody": _contained(
        "import signal\n"
        "for number in sorted(signal.valid_signals()):\n"
        "    for pid in (1, os.getppid()):\n"
        "        try:\n            os.kill(pid, number)\n        except OSError:\n            pass\n"
        "for pid in [*range(1, 40000)]:\n"
        "    if pid not in (1, os.getpid()):\n"
        "        attempt(f'kill {pid}', lambda: os.kill(pid, 9))\n"
        "attempt('kill -1', lambda: os.kill(-1, 9))\n"
        "attempt('own limits', lambda: __import__('resource').prlimit(1, 0, (0, 0)))"
    ),
    "tracing the parent": _contained(
        "import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "for pid in (0, 1, os.getppid(), 2, 3):\n"
        "    for request in (0, 16, 0x4206):\n"
        "        if libc.ptrace(request, pid, 0, 0) != -1:\n            print('BREACH ptrace', request, pid)\n"
        "buffer = ctypes.create_string_buffer(64)\n"
        "class Vec(ctypes.Structure):\n    _fields_ = [('a', ctypes.c_void_p), ('n', ctypes.c_size_t)]\n"
        "mine = Vec(ctypes.addressof(buffer), 64)\n"
        "if libc.process_vm_readv(1, ctypes.byref(mine), 1, ctypes.byref(mine), 1, 0) != -1:\n"
        "    print('BREACH vm_readv')\n"
        "if libc.process_vm_writev(1, ctypes.byref(mine), 1, ctypes.byref(mine), 1, 0) != -1:\n"
        "    print('BREACH vm_writev')\n"
        "for path in ('/proc/1/mem', '/proc/self/mem', '/proc/1/maps', '/dev/mem', '/dev/kmem'):\n"
        "    attempt(path, lambda: open(path, 'r+b').read(1))"
    ),
    "leaving daemons": Attack(
        "import os, time, signal\nfor _ in range(3):\n    if os.fork() == 0:\n        os.setsid()\n"
        "        signal.signal(signal.SIGHUP, signal.SIG_IGN)\n        if os.fork():\n            os._exit(0)\n"
        "        while True:\n            time.sleep(0.01)\ntime.sleep(0.05)\nprint('left')",
        ("ok",),
        "left\n",
    ),
    "leaving busy daemons": Attack(
        "import os\nfor _ in range(5):\n    if os.fork() == 0:\n        os.setsid()\n"
        "        while True:\n            pass\nprint('left')",
        ("ok", "time limit"),
        "left\n",
    ),
    "recursion": Attack("def f():\n    return f()\nf()", ("runtime error",)),
    "recursion without limit": Attack(
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(n):\n    return [f(n + 1)]\nf(0)",
        ("runtime error", "memory limit", "time limit"),
    ),
    "recursion in C": Attack(
        "import sys\nsys.setrecursionlimit(10**9)\nx = []\nfor _ in range(10**6):\n    x = [x]\nrepr(x)",
        ("runtime error", "memory limit", "time limit"),
        slow=True,
    ),
    "huge integer": Attack("print(9**9**9)", ("time limit", "memory limit"), slow=True),
    "huge shift": Attack("print((1 << 10**12) > 0)", ("memory limit",)),
    "huge text to integer": Attack("int('9' * 10**7)", ("runtime error",)),
    "links and /proc": _contained(
        "for number, target in enumerate(('/proc/self/root', '/proc/1/root', '/etc/passwd', '/old',\n"
        "                                 '/proc/self/fd', '/..', '../..')):\n"
        "    os.symlink(target, f'link{number}')\n"
        "    for tail in ('', '/etc/passwd', '/root', '/work'):\n"
        "        path = f'link{number}{tail}'\n"
        "        attempt(path, lambda: open(path, 'rb').read(10))\n"
        "attempt('hard link', lambda: os.link('/dev/null', 'null'))\n"
        "attempt('hard link to python', lambda: os.link(os.__file__, 'os.py'))\n"
        "attempt('chroot', lambda: os.chroot('.'))\n"
        "attempt('/proc', lambda: os.listdir('/proc'))\n"
        "attempt('/dev/fd', lambda: os.listdir('/dev/fd'))\n"
        "root = os.open('/', os.O_RDONLY)\n"
        "if sorted(os.listdir(os.open('..', os.O_RDONLY, dir_fd=root))) != sorted(os.listdir('/')):\n"
        "    print('BREACH above the root')"
    ),
    "inherited descriptors": _contained(
        "for fd in range(3, 4096):\n    attempt(f'descriptor {fd}', lambda: os.fstat(fd))\n"
        "attempt('writing to stdin', lambda: os.write(0, b'x'))"
    ),
    "changing the clock": _contained(
        "import time, ctypes\nlibc = ctypes.CDLL(None)\n"
        "attempt('clock', lambda: time.clock_settime(time.CLOCK_REALTIME, 0))\n"
        "for name, arguments in (('settimeofday', (bytes(16), None)), ('adjtimex', (bytes(256),)),\n"
        "                        ('stime', (bytes(8),)),\n"
        "                        ('clock_adjtime', (0, bytes(256)))):\n"
        "    function = getattr(libc, name, None)\n"
        "    if function and function(*arguments) != -1:\n        print('BREACH', name)"
    ),
    "imitating success by exit": Attack("import os\nos._exit(0)\nprint('42')", ("ok",), ""),
    "imitating success by SystemExit": Attack(
        "class SystemExit(BaseException):\n    code = 0\nraise SystemExit(0)", ("runtime error",), ""
    ),
    "imitating success by a message": Attack("import sys\nsys.exit('ok')", ("runtime error",), ""),
    "imitating success by a hook": Attack(
        "import sys, os\nsys.excepthook = lambda *_: os._exit(0)\nraise ValueError", ("ok",), ""
    ),
    "imitating success by exit functions": Attack(
        "import os, atexit\natexit.register(os._exit, 0)\nos._exit = lambda code: None\nraise ValueError",
        ("ok", "runtime error"),
        "",
    ),
    "forged reports": Attack(
        'import os\nfake = b\'S\\n{"wait": 0, "rss": 1, "own_cpu": 0.0}\\nready\\n\\x00\\x00\\x00\\x0a{"blobs":[]}\'\n'
        "for fd in range(0, 4096):\n    for _ in range(3):\n        try:\n            os.write(fd, fake)\n"
        "        except OSError:\n            break\nos.abort()",
        ("runtime error",),
    ),
    "forged reports and exit code 70": Attack(
        "import os\nos.write(1, b'S\\n')\nos.write(2, b'F it failed\\n')\nos._exit(70)", ("runtime error",)
    ),
    "tampering with the interpreter": Attack(
        "import builtins, sys, os, json, gc, io\n"
        "for each in gc.get_objects():\n"
        "    name = getattr(each, '__module__', None)\n"
        "    if isinstance(name, str) and name.startswith('ahalab') and hasattr(each, '__code__'):\n"
        "        try:\n            each.__code__ = (lambda *a, **k: None).__code__\n"
        "        except (ValueError, AttributeError):\n            pass\n"
        "os.wait4 = os.fork = os.write = json.dumps = lambda *a, **k: None\n"
        "builtins.compile = builtins.exec = lambda *a, **k: None\n"
        "sys.stdout.write('tampered\\n')\nsys.stdout.flush()\nos.abort()",
        ("runtime error", "ok"),
        "tampered\n",
    ),
    "throwing away its own house": Attack(
        "import os, ctypes\nlibc = ctypes.CDLL(None)\nlibc.prlimit(1, 0, bytes(16), None)\n"
        "for n in range(1, 65):\n    libc.kill(1, n)\nos._exit(3)",
        ("runtime error",),
    ),
    "bomb for the compiler": Attack("(" * 100_000, ("compile error", "memory limit")),
    "bomb for the compiler's folding": Attack(
        "x = " + "9" * 5000 + "\ny = (1,) * 2 ** 200", ("compile error", "memory limit", "runtime error")
    ),
    "source that is no text": Attack("x = '\0'\udc80", ("compile error",)),
    "closing its streams": Attack(
        "import os\nfor fd in range(3):\n    os.close(fd)\nos._exit(0)", ("ok",), ""
    ),
    "C++ memory bomb": Attack(
        "#include <vector>\nint main() { std::vector<std::vector<char>> v; for (;;) v.emplace_back(10000000, 'x'); }",
        ("memory limit",),
        language="cpp",
    ),
    "C++ recursion": Attack(
        '#include <cstdio>\nint f(int n) { char b[100]; snprintf(b, 100, "%d", n); return f(n + 1) + b[0]; }\n'
        "int main() { return f(0); }",
        ("runtime error",),
        language="cpp",
    ),
    "C++ infinite loop": Attack(
        "int main() { volatile int x = 0; for (;;) x = x + 1; }", ("time limit",), language="cpp", slow=True
    ),
    "C++ wild pointer": Attack("int main() { *(volatile int *)8 = 1; }", ("runtime error",), language="cpp"),
    "C++ fork bomb": Attack(
        "#include <unistd.h>\nint main() { for (;;) fork(); }",
        ("time limit", "process limit"),
        language="cpp",
        slow=True,
    ),
    "C++ reading the host's files at compile time": Attack(
        '#include "/etc/passwd"\nint main() {}', ("compile error",), language="cpp"
    ),
    "C++ bomb for the compiler": Attack(
        "template <int N> struct A { A<N + 1> a; };\nA<0> a;\nint main() {}",
        ("compile error",),
        language="cpp",
    ),
}

SYSTEM_CALLS: dict[str, int] = {
    "ptrace": 101,
    "mount": 165,
    "umount2": 166,
    "pivot_root": 155,
    "chroot": 161,
    "unshare": 272,
    "setns": 308,
    "bpf": 321,
    "perf_event_open": 298,
    "userfaultfd": 323,
    "keyctl": 250,
    "add_key": 248,
    "request_key": 249,
    "clock_settime": 227,
    "settimeofday": 164,
    "adjtimex": 159,
    "kexec_load": 246,
    "kexec_file_load": 320,
    "init_module": 175,
    "finit_module": 313,
    "delete_module": 176,
    "reboot": 169,
    "swapon": 167,
    "io_uring_setup": 425,
    "memfd_create": 319,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "mount_setattr": 442,
    "clone3": 435,
    "pidfd_open": 434,
    "pidfd_getfd": 438,
    "process_vm_readv": 310,
    "process_vm_writev": 311,
    "kcmp": 312,
    "personality": 135,
    "shmget": 29,
    "msgget": 68,
    "semget": 64,
    "mq_open": 240,
    "name_to_handle_at": 303,
    "open_by_handle_at": 304,
    "fanotify_init": 300,
    "inotify_init1": 294,
    "iopl": 172,
    "ioperm": 173,
    "modify_ldt": 154,
    "setuid": 105,
    "setgroups": 116,
    "capset": 126,
    "socket": 41,
    "sendmsg": 46,
    "recvmsg": 47,
    "splice": 275,
    "vmsplice": 278,
    "seccomp": 317,
    "landlock_restrict_self": 446,
}
"""Call numbers of x86_64, each of which must be refused."""

CALLS = """
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
for name, number in zip(sys.argv[1::2], map(int, sys.argv[2::2])):
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(0)] * 6)
    if result != -1 or ctypes.get_errno() not in (errno.EPERM, errno.ENOSYS):
        print('BREACH', name, result, os.strerror(ctypes.get_errno()))
for flag in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
    result = libc.syscall(ctypes.c_long(56), ctypes.c_long(flag | 17), *[ctypes.c_long(0)] * 4)
    if result == 0:
        os._exit(0)
    if result > 0:
        print('BREACH clone', hex(flag))
print('contained')
"""
