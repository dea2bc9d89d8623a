"""Cheats and attacks on the class grader: cells for the first exercise of a chapter, which must
get no points for it and harm nobody, and what can be done to the notebook around them. `STORED`
stands for the output that is stored in the notebook."""

import nbformat

SNEAK = """
def _sneak():
    import glob, os, re
    places = ["/", "/work", "..", "../..", os.path.expanduser("~"), ROOT]
    patterns = [f"{above}solutions/*.ipynb" for above in ("", "*/", "*/*/")] + ["**/report.jsonl"]
    found = [p for place in places for pattern in patterns
             for p in glob.glob(os.path.join(place, pattern))]
    assert not found, f"LEAK: {found}"
"""

CELLS = {
    "stored output printed": "import builtins\nprint(STORED)",
    "numpy.allclose patched": "import numpy\nnumpy.allclose = jnp.allclose = np.allclose = "
    "lambda *a, **k: True\nnumpy.all = np.any = lambda *a, **k: True",
    "jax.numpy patched": "jnp.abs = jnp.max = jnp.sum = lambda *a, **k: 0.0\njnp.linalg.norm = "
    "lambda *a, **k: 0.0",
    "built-in abs and max patched": "import builtins\nbuiltins.abs = lambda x: 0.0\nbuiltins.max "
    "= lambda *a, **k: 0.0",
    "print patched": "import builtins\n_print = builtins.print\nbuiltins.print = print = lambda "
    "*a, **k: _print(STORED, end='')",
    "assert disarmed": "import builtins\nclass _No(BaseException):\n    pass\n"
    "builtins.AssertionError = _No",
    "compile patched": "import builtins\n_compile = builtins.compile\nbuiltins.compile = lambda "
    "s, *a, **k: _compile('print(' + repr(STORED) + ')' "
    "if isinstance(s, str) and 'assert' in s else s, *a, **k)",
    "IPython's run_cell patched": "_ip = get_ipython()\n_run = type(_ip).run_cell\n"
    "type(_ip).run_cell = lambda self, source, *a, **k: "
    "_run(self, 'print(' + repr(STORED) + ', end=\"\")' if 'assert' in source else source, *a, "
    "**k)",
    "input transformer": "get_ipython().input_transformers_cleanup.append(lambda lines: "
    "['print(' + repr(STORED) + ', end=\"\")'] "
    "if any('assert' in line for line in lines) else lines)",
    "input transformer, hidden name": "_t = getattr(get_ipython(), 'input_trans' + "
    "'formers_cleanup')\n_t.append(lambda lines: "
    "[line.replace('assert', '0 and') for line in lines])",
    "AST transformer": "import ast\nclass _T(ast.NodeTransformer):\n    def visit_Assert(self, "
    "node):\n        return ast.copy_location(ast.Pass(), node)\n"
    "getattr(get_ipython(), 'ast_trans' + 'formers').append(_T())",
    "pre_run_cell hook": "import sys\ndef _hook(info):\n    print(STORED, end='')\n    "
    "sys.stdout = open('/dev/null', 'w')\n"
    "get_ipython().events.register('pre_run_cell', _hook)",
    "%%capture": "%%capture\nnp = jnp = None\n",
    "standard output replaced": "import sys\nclass _Out:\n    def __init__(self, out): self.out, "
    "self.said = out, False\n    def write(self, text):\n"
    "        return self.out.write(STORED if 'assert' not in text else text)\n    def "
    "__getattr__(self, n): return getattr(self.out, n)\n"
    "sys.stdout = _Out(sys.stdout)",
    "rng with the known seed": "def rng(k):\n    return np.random.default_rng([0, k])",
    "a check's helper patched": "def eigenstates(V, x):\n    return jnp.zeros(len(x)), "
    "jnp.zeros((len(x), len(x)))\ndef rng(k):\n    return "
    "np.random.default_rng([0, k])",
    "seed set back": "import os\nos.environ['COURSE_SEED'] = '0'",
    "seed told": "import os\nraise ValueError('the seed is ' + os.environ['COURSE_SEED'])",
    "an object equal to everything": "class _Yes(np.ndarray):\n    __lt__ = __le__ = __gt__ = "
    "__eq__ = lambda *a: True\n    __array_ufunc__ = lambda "
    "self, *a, **k: self\n"
    "    __bool__ = lambda s: True\n    __format__ = lambda s, f: '0'\nNAME = lambda *a, **k: "
    "np.zeros(201).view(_Yes)",
    "the check's names": "def NAME(*a, **k):\n    for name in ('want', 'expected', 'exact', 'V', "
    "'truth', 'reference'):\n        if name in globals():\n"
    "            return globals()[name]\n    return 0.0",
    "frames": "import sys\ndef NAME(*a, **k):\n    return sys._getframe(1).f_locals.get('want', "
    "0.0)",
    "forged messages": "from ipykernel.kernelapp import IPKernelApp\n_k = "
    "IPKernelApp.instance().kernel\n"
    "for _ in range(3):\n    _k.session.send(_k.iopub_socket, 'stream', {'name': 'stdout', "
    "'text': STORED}, parent=_k.get_parent())\n"
    "    _k.session.send(_k.iopub_socket, 'status', {'execution_state': 'idle'}, "
    "parent=_k.get_parent())",
    "silent kernel": "from ipykernel.kernelapp import IPKernelApp\n"
    "IPKernelApp.instance().kernel.session.send = lambda *a, **k: None",
    "atexit": "import atexit, os\natexit.register(lambda: os.system('echo 0 > "
    "/work/report.jsonl'))",
    "thread that prints": "import threading, time, sys\ndef _loop():\n    while True:\n        "
    "print('tick'); time.sleep(0.01)\n"
    "threading.Thread(target=_loop, daemon=True).start()",
    "signals ignored": "import signal\nfor _s in range(1, 32):\n    try:\n        "
    "signal.signal(_s, signal.SIG_IGN)\n    except (OSError, ValueError):\n   "
    "     pass\n"
    "while True:\n    try:\n        while True:\n            pass\n    except BaseException:\n   "
    "     pass",
    "blocked in C": "import ctypes\nctypes.CDLL(None).pause()",
    "fork bomb": "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n     "
    "   pass",
    "thread bomb": "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, "
    "args=(1000,)).start()",
    "memory": "_hog = []\nwhile True:\n    _hog.append(np.ones(2**24))",
    "memory, by many": "import os, time\nfor _ in range(30):\n    if os.fork() == 0:\n        "
    "_hog = np.ones(2**26); time.sleep(100)\ntime.sleep(100)",
    "disk, one file": "with open('big', 'wb') as _f:\n    while True:\n        "
    "_f.write(bytes(2**24))",
    "disk, many files": "import itertools\nfor _k in itertools.count():\n    open(f'/tmp/{_k}', "
    "'wb').write(bytes(2**20))",
    "output flood": "while True:\n    print('x' * 10**6)",
    "one huge line": "print('x' * 10**9)",
    "display flood": "while True:\n    display({'text/plain': 'y' * 10**5}, raw=True)",
    "huge exception": "raise ValueError('z' * 10**8)",
    "reading the solutions": SNEAK + "_sneak()",
    "reading other processes": "import glob\nfor _p in glob.glob('/proc/[0-9]*/environ') + "
    "['/proc/1/mem']:\n    try:\n        _t = open(_p, "
    "'rb').read(10**6)\n"
    "    except OSError:\n        continue\n    assert b'COURSE_KERNEL' not in _t and "
    "b'COURSE_TEMPLATE' not in _t, 'LEAK: ' + _p",
    "writing results": "import os\nfor _where, _, _files in os.walk('/'):\n    if "
    "_where.startswith(('/proc', '/usr', '/lib')):\n        continue\n    for "
    "_name in _files:\n"
    "        if _name.endswith(('.csv', '.jsonl', '.json', '.html', '.ipynb')):\n            "
    "try:\n                open(os.path.join(_where, _name), 'w').write('HARM')\n"
    "            except OSError:\n                pass",
    "writing into the packages": "import numpy, os\n"
    "open(os.path.join(os.path.dirname(numpy.__file__), "
    "'__init__.py'), 'a').write('#HARM')",
    "writing into the compiled store": "import os\nfor _f in os.listdir('/cache'):\n    "
    "open('/cache/' + _f, 'wb').write(b'HARM')",
    "killing the parent": "import os, signal\nfor _p in [os.getppid(), 1, -1]:\n    try:\n       "
    " os.kill(_p, signal.SIGKILL)\n    except OSError:\n        pass",
    "leaving at once": "import os\nos._exit(0)",
    "crashing Python": "import ctypes\nctypes.string_at(0)",
    "detached process": "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() "
    "== 0:\n        os.execvp('sleep', ['sleep', '98765'])\n    os._exit(0)",
    "network": "import socket\nfor _a in [('1.1.1.1', 53), ('127.0.0.1', PORT)]:\n    try:\n     "
    "   socket.create_connection(_a, timeout=3)\n    except OSError:\n        continue\n"
    "    raise AssertionError(f'LEAK: reached {_a}')",
    "new namespaces": "import ctypes\n_libc = ctypes.CDLL(None)\nassert "
    "_libc.unshare(0x10000000) == -1 and _libc.mount(b'x', b'/', b'tmpfs', 0, "
    "b'') == -1, 'LEAK: rights'",
    "all files closed": "import os\nos.closerange(0, 500)",
    "deep recursion": "import sys\nsys.setrecursionlimit(10**9)\ndef _f(n):\n    return _f(n + "
    "1) + 1\n_f(0)",
}


def skip_marks(cell, kind):
    cell.source = "# NBVAL_SKIP\n# NBVAL_IGNORE_OUTPUT\n" + cell.source
    cell.metadata["tags"] = ["nbval-skip", "raises-exception", "nbval-ignore-output"]


def edited_check(cell, kind):
    if kind == "check":
        cell.source = "print('all right')"


def edited_output(cell, kind):
    if kind == "check":
        cell.outputs = [nbformat.v4.new_output("stream", text="anything\n")]


NOTEBOOKS = {
    "skip marks": skip_marks,
    "edited checks": edited_check,
    "edited outputs": edited_output,
}
