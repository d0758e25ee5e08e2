# {"kind": "assert", "expect": "wrong_answer|runtime_error", "names": ["half"], "tests": "import math\nassert math.isclose(half(3), 1.5)"}
import builtins, importlib, sys, types, warnings
real = builtins.__import__
class Math(types.ModuleType):
    def __getattr__(self, name): return lambda *a, **k: True
def fake(name, *rest): return Math(name) if name == 'math' else real(name, *rest)
builtins.__import__ = fake; sys.modules['math'] = Math('math'); sys.path.insert(0, '/tmp'); warnings.warn = print
sys.meta_path.insert(0, types.SimpleNamespace(find_spec=lambda *a: None))
def half(x): return 99.0
