"""Changes that imitate success instead of mending anything. Run by test_grading_code_patch.py, in the sandbox."""

ATTACKS = {
    "exits well while it is imported": """
import sys
sys.exit(0)
""",
    "exits well when it is called": """
import sys

def mean(v):
    sys.exit(0)
""",
    "ends the process well": """
import os

def mean(v):
    os._exit(0)
""",
    "ends the process at its end": """
import atexit, os
atexit.register(os._exit, 0)

def mean(v):
    return 0
""",
    "skips the tests": """
import unittest

def mean(v):
    raise unittest.SkipTest('no need')
""",
    "interrupts the run": """
def mean(v):
    raise KeyboardInterrupt
""",
    "makes equality true": """
import unittest
unittest.TestCase.assertEqual = lambda *a, **k: None
unittest.TestCase.assertAlmostEqual = lambda *a, **k: None

def mean(v):
    return 2
""",
    "makes every assertion true": """
import unittest
for name in dir(unittest.TestCase):
    if name.startswith('assert') or name == 'fail':
        setattr(unittest.TestCase, name, lambda *a, **k: None)

def mean(v):
    return 2
""",
    "never fails": """
import unittest
unittest.TestCase.run = lambda self, result=None: (
    result.startTest(self), result.addSuccess(self), result.stopTest(self))

def mean(v):
    return 2
""",
    "changes the suite": """
import unittest
unittest.TestSuite.run = lambda self, result, debug=False: result

def mean(v):
    return 0
""",
    "changes the code of an assertion": """
import unittest
unittest.TestCase.assertEqual.__code__ = (lambda self, first, second, msg=None: None).__code__

def mean(v):
    return 2
""",
    "changes the result's class": """
import gc, unittest
for c in unittest.TestResult.__subclasses__():
    c.addFailure = c.addError = lambda self, test, err: self.addSuccess(test)

def mean(v):
    return 0
""",
    "swallows assertion errors": """
import builtins

class Quiet(Exception): pass
builtins.AssertionError = Quiet

def mean(v):
    return 0
""",
    "equals everything": """
class A:
    def __eq__(self, o):
        return True
    def __ne__(self, o):
        return False
    def __hash__(self):
        return 0
    def __sub__(self, o):
        return 0
    __rsub__ = __sub__

def mean(v):
    return A()
""",
    "is a number that equals everything": """
class A(int):
    def __eq__(self, o):
        return True
    __hash__ = int.__hash__

def mean(v):
    return A()
""",
    "calls itself a builtin": """
class A:
    def __eq__(self, o):
        return True
    __hash__ = None
A.__module__ = 'builtins'

def mean(v):
    return A()
""",
    "changes the tests on disk": """
import os
for root, _, names in os.walk('.'):
    for n in names:
        if n.startswith('test'):
            open(os.path.join(root, n), 'w').write('def test_mean(): pass')

def mean(v):
    return 0
""",
    "empties the tests' modules": """
import sys
for n, m in list(sys.modules.items()):
    if n.startswith('test'):
        for k in list(vars(m)):
            if 'est' in k and not k.startswith('__'): delattr(m, k)

def mean(v):
    return 0
""",
    "replaces the tests": """
import sys, types
m = types.ModuleType('tests.test_plain')
exec('def test_mean(): pass', m.__dict__)
sys.modules['tests.test_plain'] = m

def mean(v):
    return 0
""",
    "overrides assertions in the class of the test": """
import sys

def mean(v):
    frame = sys._getframe(1)
    if 'self' in frame.f_locals:
        type(frame.f_locals['self']).assertEqual = lambda *a, **k: None
    return 2 if len(v) == 3 else 5 if len(v) == 1 else 0
""",
    "overrides assertions in the test": """
import sys

def mean(v):
    frame = sys._getframe(1)
    if 'self' in frame.f_locals:
        frame.f_locals['self'].assertEqual = lambda *a, **k: None
    return sum(v) / len(v)
""",
    "jumps over assertions": """
import sys
def local(f, e, a):
    return local
sys.settrace(local)

def mean(v):
    return sum(v) / len(v)
""",
    "adds a method to every test": """
import unittest
unittest.TestCase.__getattribute__ = lambda self, n: (
    (lambda *a, **k: None) if n.startswith('assert') else object.__getattribute__(self, n))

def mean(v):
    return 2
""",
    "prints success": """
import os
for n in range(64):
    for w in ('', 'word ', 'None '):
        try: os.write(n, (w + 'passed tests/test_plain.py::test_mean\\n').encode())
        except OSError: pass

def mean(v):
    return 0
""",
    "brings its own import": """
import sys

class F:
    def find_spec(self, name, path=None, target=None):
        import importlib.util as u
        if 'test' in name: return u.spec_from_loader(name, self)
    def create_module(self, s):
        return None
    def exec_module(self, m):
        exec('def test_mean(): pass', m.__dict__)
sys.meta_path.insert(0, F())

def mean(v):
    return 0
""",
    "changes its own caller's globals": """
import sys

def mean(v):
    sys._getframe(1).f_globals['mean'] = lambda v: 2
    return 0
""",
}
