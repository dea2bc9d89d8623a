"""Right and wrong answers to the exercises of chapter 2: each is the whole solution cell."""

PUSH = "return sylvester(A, B, dC - dA @ X - X @ dB)"
PULL = "S = sylvester(mT(A), mT(B), g)\n    return -S @ mT(X), -mT(X) @ S, S"


def rules(push=PUSH, pull=PULL):
    return f"""# Exercise 2.1
def sylvester_push(dA, dB, dC, X, A, B):
    {push}


def sylvester_pull(g, X, A, B):
    {pull}
"""


LOOP = """step = lambda x, t: x - f(x, t) / jax.grad(f)(x, t)
    dx = 0.0
    for _ in range(12):
        x, dx = jax.jvp(step, (x, theta), (dx, dtheta))
    return x, dx"""
IMPLICIT = "fx, ft = jax.grad(f, (0, 1))(x, theta)\n    return -jnp.dot(ft, dtheta) / fx"


def newton(loop=LOOP, implicit=IMPLICIT):
    return (
        f"# Exercise 2.2\ndef newton_jvp(f, x, theta, dtheta):\n    {loop}\n\n\n"
        f"def implicit_jvp(f, x, theta, dtheta):\n    {implicit}\n"
    )


SEES = {"sign": True, "factor": True, "both": False, "detached": False, "transpose": True}
ORDER = """v = np.linspace(0.4, 1.3, x.size).reshape(x.shape)
    w = np.linspace(1.7, -0.6, x.size).reshape(x.shape)
    h = 1e-4
    slope = lambda g, x: (g(x + h * v) - g(x - h * v)) / (2 * h)
    push = lambda x: jvp(f, (x,), (v,))[1]
    pull = lambda x: vjp(f, x)[1](w)[0]
    if abs(push(x) - slope(f, x)).max() > 1e-5:
        return 1
    if abs(np.vdot(pull(x), v) - np.vdot(w, slope(f, x))) > 1e-5:
        return 1
    if abs(jvp(push, (x,), (v,))[1] - slope(push, x)).max() > 1e-5:
        return 2
    if abs(jvp(pull, (x,), (v,))[1] - slope(pull, x)).max() > 1e-5:
        return 2
    return 0"""


def hunting(sees=SEES, order=ORDER):
    return (
        f"# Exercise 2.3\ndef duality_sees():\n    return {sees!r}\n\n\n"
        f"def wrong_order(f, x):\n    {order}\n"
    )


def chain(body):
    return f"# Exercise 2.4\ndef checkpointed_grad(x, w, g):\n    n = len(w)\n    {body}\n"


SEGMENTS = """m = max(1, int(n ** 0.5))
    starts = list(range(0, n, m))
    saved = {}
    for k in range(n):
        if k in starts:
            saved[k] = x
        if k < starts[-1]:
            x = step(x, w[k])
    bars = [0.0] * n
    for a in starts[::-1]:
        b, xs = min(a + m, n), [saved.pop(a)]
        for k in range(a, b - 1):
            xs.append(step(xs[-1], w[k]))
        for k in range(b - 1, a - 1, -1):
            g, bars[k] = pull(xs.pop(), w[k], g)
    return g, np.array(bars)"""


ENCLOSE = """a, b = intervals[0]
    if name in ("exp", "tanh"):
        return getattr(np, name)(a), getattr(np, name)(b)
    if name == "negative":
        return -b, -a
    if name in ("sin", "cos"):
        if name == "cos":
            a, b = a + np.pi / 2, b + np.pi / 2
        top = (b - np.pi / 2) // (2 * np.pi) > (a - np.pi / 2) // (2 * np.pi)
        bottom = (b + np.pi / 2) // (2 * np.pi) > (a + np.pi / 2) // (2 * np.pi)
        lo = np.minimum(np.sin(a), np.sin(b))
        hi = np.maximum(np.sin(a), np.sin(b))
        return np.where(bottom, -1, lo), np.where(top, 1, hi)
    c, d = intervals[1]
    if name == "add":
        return a + c, b + d
    if name == "subtract":
        return a - d, b - c
    products = [a * c, a * d, b * c, b * d]
    return np.min(products, axis=0), np.max(products, axis=0)"""
PROVED = """width = (b - a) / pieces
    for k in range(pieces):
        if not bounds(derivative(f), a + k * width, a + (k + 1) * width)[0] > 0:
            return False
    return True"""


def intervals(enclose=ENCLOSE, proved=PROVED):
    return (
        f"# Exercise 2.5\ndef enclose(name, *intervals):\n    {enclose}\n\n\n"
        f"def proved_increasing(f, a, b, pieces):\n    {proved}\n"
    )


ANSWERS = {
    "2.1": {
        "right": {
            "by sylvester": rules(),
            "term by term, with matmul": rules(
                "return sylvester(A, B, dC) - sylvester(A, B, ops.matmul(dA, X)) "
                "- sylvester(A, B, ops.matmul(X, dB))",
                "S = ops.transpose(sylvester(B, A, ops.transpose(g)))\n"
                "    return -(S @ X.T), -(X.T @ S), S",
            ),
            "by a dense system of the engine": rules(
                pull="m, n = np.shape(g)\n"
                "    eye = lambda k: np.eye(k)\n"
                "    first = ops.reshape(mT(A), (m, 1, m, 1)) * eye(n).reshape(1, n, 1, n)\n"
                "    second = eye(m).reshape(m, 1, m, 1) * ops.reshape(B, (1, n, 1, n))\n"
                "    M = ops.reshape(first + second, (m * n, m * n))\n"
                "    S = ops.reshape(ops.linalg.solve(M, ops.reshape(g, m * n)), (m, n))\n"
                "    return -S @ mT(X), -mT(X) @ S, S"
            ),
        },
        "wrong": {
            "sign of the push": rules(push=PUSH.replace("- dA", "+ dA")),
            "B forgotten": rules(push=PUSH.replace(" - X @ dB", "")),
            "sides in the push": rules(push=PUSH.replace("dA @ X - X @ dB", "X @ dA - dB @ X")),
            "not transposed": rules(pull=PULL.replace("mT(A), mT(B)", "A, B")),
            "sign of the pull": rules(pull=PULL.replace("-S @ mT(X), -mT(X)", "S @ mT(X), mT(X)")),
            "X not transposed": rules(pull=PULL.replace("mT(X)", "X")),
            "wrong side": rules(
                pull=PULL.replace("-S @ mT(X), -mT(X) @ S", "-X @ mT(S), -mT(S) @ X")
            ),
            "A and B swapped": rules(
                pull=PULL.replace("-S @ mT(X), -mT(X) @ S", "-mT(X) @ S, -S @ mT(X)")
            ),
            "C forgotten": rules(pull=PULL.replace(", S", "", 1).replace("@ S, S", "@ S")),
            "by SciPy": rules(
                "return scipy.linalg.solve_sylvester(A, B, dC - dA @ X - X @ dB)",
                "S = scipy.linalg.solve_sylvester(A.T, B.T, g)\n    return -S @ X.T, -X.T @ S, S",
            ),
            "detached from A": rules(PUSH.replace("(A, B", "(plain(A), plain(B)")),
            "detached from X": rules(pull=PULL.replace("mT(X)", "plain(X).T")),
            "a pull by differences": rules(
                pull="h = 1e-6\n    def by(k):\n        out = []\n"
                "        args = [A, B, A @ X + X @ B]\n"
                "        for e in np.eye(args[k].size):\n            new = list(args)\n"
                "            new[k] = args[k] + h * e.reshape(args[k].shape)\n"
                "            out.append(np.sum(g * (sylvester(*new) - X)) / h)\n"
                "        return np.reshape(out, args[k].shape)\n    return by(0), by(1), by(2)"
            ),
        },
    },
    "2.2": {
        "right": {
            "fixed number of steps": newton(),
            "with numbers of jax": newton(
                LOOP.replace(
                    "for _ in range(12):\n        x, dx =",
                    "settled = False\n    while not settled:\n        y, dy =",
                ).replace(
                    "    return x, dx",
                    "        settled = jnp.allclose("
                    "jnp.array([y, dy]), jnp.array([x, dx]), rtol=1e-13, atol=1e-13)\n"
                    "        x, dx = y, dy\n    return x, dx",
                ),
                "return -jax.jvp(lambda t: f(x, t), (theta,), (dtheta,))[1] "
                "/ jax.jvp(lambda x: f(x, theta), (x,), (1.0,))[1]",
            ),
            "root, then its equation": newton(
                "for _ in range(12):\n        x = x - f(x, theta) / jax.grad(f)(x, theta)\n"
                "    return x, implicit_jvp(f, x, theta, dtheta)"
            ),
        },
        "wrong": {
            "stops with the value": newton(
                LOOP.replace("for _ in range(12):", "while abs(f(x, theta)) > 1e-12:")
            ),
            "tangent of theta dropped": newton(LOOP.replace("(dx, dtheta)", "(dx, 0 * dtheta)")),
            "one step": newton(LOOP.replace("range(12)", "range(1)")),
            "sign of the step": newton(LOOP.replace("x - f(x, t)", "x + f(x, t)")),
            "detached slope": newton(
                LOOP.replace(
                    "/ jax.grad(f)(x, t)", "/ jax.lax.stop_gradient(jax.grad(f)(x, t) * 1.1)"
                ).replace("12", "5")
            ),
            "the root's differences": newton(
                "def root(t, y=x):\n        for _ in range(12):\n"
                "            y = y - f(y, t) / jax.grad(f)(y, t)\n        return y\n"
                "    change = root(theta + 1e-5 * dtheta) - root(theta - 1e-5 * dtheta)\n"
                "    return root(theta), change / 2e-5"
            ),
            "implicit by finite differences": newton(
                implicit="root = lambda t: newton_jvp(f, x, t, dtheta)[0]\n"
                "    return (root(theta + 1e-5 * dtheta) - root(theta - 1e-5 * dtheta)) / 2e-5"
            ),
            "implicit by the loop": newton(implicit="return newton_jvp(f, x, theta, dtheta)[1]"),
            "implicit sign": newton(implicit=IMPLICIT.replace("return -", "return ")),
            "two parameters alone": newton(
                implicit=IMPLICIT.replace(
                    "jnp.dot(ft, dtheta)", "(ft[0] * dtheta[0] + ft[1] * dtheta[1])"
                )
            ),
            "implicit upside down": newton(
                implicit=IMPLICIT.replace("jnp.dot(ft, dtheta) / fx", "fx / jnp.dot(ft, dtheta)")
            ),
            "implicit without direction": newton(
                implicit="fx, ft = jax.grad(f, (0, 1))(x, theta)\n    return -jnp.sum(ft) / fx"
            ),
            "hard-coded": newton(implicit="return 0.5 * float(dtheta[0])"),
        },
    },
    "2.3": {
        "right": {
            "with slopes": hunting(),
            "by unit vectors and JAX's names": hunting(
                sees=dict(SEES),
                order="""def bad(g, J):
        columns = [(g(x + 1e-5 * e) - g(x - 1e-5 * e)) / 2e-5 for e in np.eye(x.size)]
        return abs(np.array(columns).T - J(x)).max() > 1e-4
    units = np.eye(x.size)
    push = lambda x, v: jvp(f, (x,), (v,))[1]
    pull = lambda x, w: vjp(f, x)[1](w)[0]
    if bad(f, lambda x: np.array([push(x, e) for e in units]).T):
        return 1
    if bad(f, lambda x: np.array([pull(x, e) for e in units])):
        return 1
    for e in units:
        for g in (lambda x: push(x, e), lambda x: pull(x, e)):
            if bad(g, lambda x: np.array([jvp(g, (x,), (u,))[1] for u in units]).T):
                return 2
    return 0""",
            ),
        },
        "wrong": {
            "sees everything": hunting(sees=dict.fromkeys(SEES, True)),
            "sees wrong values": hunting(sees=SEES | {"both": True}),
            "sees detached rules": hunting(sees=SEES | {"detached": True}),
            "misses the transpose": hunting(sees=SEES | {"transpose": False}),
            "a key is missing": hunting(sees={k: v for k, v in SEES.items() if k != "sign"}),
            "by duality": hunting(
                order="r = np.random.default_rng(0)\n"
                "    if duality_gap(f, (x,), r) > 1e-6:\n        return 1\n"
                "    return 2 if duality_gap(pulled(f), (x,), r) > 1e-6 else 0"
            ),
            "forward mode alone": hunting(
                order=ORDER.replace(
                    "np.vdot(pull(x), v) - np.vdot(w, slope(f, x))", "0 * x[0]"
                ).replace("jvp(pull, (x,), (v,))[1] - slope(pull, x)", "0 * x")
            ),
            "reverse mode alone": hunting(
                order=ORDER.replace("push(x) - slope(f, x)", "0 * x").replace(
                    "jvp(push, (x,), (v,))[1] - slope(push, x)", "0 * x"
                )
            ),
            "w equal to v": hunting(
                order=ORDER.replace("w = np.linspace(1.7, -0.6", "w = np.linspace(0.4, 1.3")
            ),
            "first order alone": hunting(
                order=ORDER.split("    if abs(jvp(push")[0] + "    return 0"
            ),
            "first entry alone": hunting(
                order=ORDER.replace("v = np.linspace(0.4, 1.3, x.size)", "v = np.eye(x.size)[1]")
            ),
            "one-sided, too strict": hunting(
                order=ORDER.replace(
                    "(g(x + h * v) - g(x - h * v)) / (2 * h)", "(g(x + h * v) - g(x)) / h"
                )
            ),
        },
    },
    "2.4": {
        "right": {
            "floor of the root": chain(SEGMENTS),
            "recursive halves of segments": chain("""from math import isqrt
    m = isqrt(n - 1) + 1
    heads, y = [x], x
    for k in range((n - 1) // m * m):
        y = step(y, w[k])
        if (k + 1) % m == 0:
            heads.append(y)
    out = np.empty(n)
    while heads:
        a = (len(heads) - 1) * m
        block = w[a:a + m]
        path = [heads.pop()]
        for v in block[:-1]:
            path.append(step(path[-1], v))
        for k in range(len(block) - 1, -1, -1):
            g, out[a + k] = pull(path[k], block[k], g)
            del path[k]
    return g, out"""),
        },
        "wrong": {
            "stores everything": chain("""xs = [x]
    for k in range(n - 1):
        xs.append(step(xs[-1], w[k]))
    bars = np.zeros(n)
    for k in reversed(range(n)):
        g, bars[k] = pull(xs[k], w[k], g)
    return g, bars"""),
            "starts from the beginning each time": chain("""bars = np.zeros(n)
    for k in reversed(range(n)):
        y = x
        for j in range(k):
            y = step(y, w[j])
        g, bars[k] = pull(y, w[k], g)
    return g, bars"""),
            "a copy of the step": chain("""sin = np.sin
    own = lambda x, v: State(x.value + 0.1 * sin(x.value + v))
    bars = np.zeros(n)
    for k in reversed(range(n)):
        y = x
        for v in w[:k]:
            y = own(y, v)
        g, bars[k] = pull(y, w[k], g)
    return g, bars"""),
            "a State that counts nothing": chain("""class Free(State):
        def __init__(self, value):
            self.value = value
        __del__ = lambda self: None
    x, keep, bars = Free(x.value), [], np.zeros(n)
    for k in range(n):
        keep.append(x)
        x = Free(step(x, w[k]).value)
    for k in reversed(range(n)):
        g, bars[k] = pull(keep[k], w[k], g)
    return g, bars"""),
            "the count of a State put out of order": chain("""bars, keep = np.zeros(n), []
    for k in range(n):
        keep.append(x)
        x = step(x, w[k])
    for k in reversed(range(n)):
        g, bars[k] = pull(keep[k], w[k], g)
    return g, bars""")
            + "State.__init__ = lambda self, value: setattr(self, 'value', value)\n"
            + "State.__del__ = lambda self: None\n",
            "state after the step": chain(
                SEGMENTS.replace("range(a, b - 1)", "range(a, b)").replace(
                    "g, bars[k] = pull(xs.pop(), w[k], g)",
                    "g, bars[k] = pull(xs[k - a + 1], w[k], g)",
                )
            ),
            "weights reversed": chain(
                SEGMENTS.replace("return g, np.array(bars)", "return g, np.array(bars[::-1])")
            ),
            "last segment forgotten": chain(
                SEGMENTS.replace("in starts[::-1]", "in (starts[:-1] or starts)[::-1]")
            ),
            "only the gradient of the state": chain(
                SEGMENTS.replace(
                    "g, bars[k] = pull(xs.pop(), w[k], g)", "g = pull(xs.pop(), w[k], g)[0]"
                )
            ),
            "cotangent not updated": chain(
                SEGMENTS.replace(
                    "g, bars[k] = pull(xs.pop(), w[k], g)", "bars[k] = pull(xs.pop(), w[k], g)[1]"
                )
            ),
            "segments kept": chain(
                SEGMENTS.replace("bars = [0.0] * n", "bars, kept = [0.0] * n, []").replace(
                    "for k in range(b - 1, a - 1, -1):",
                    "kept.append(list(xs))\n        for k in range(b - 1, a - 1, -1):",
                )
            ),
        },
    },
    "2.5": {
        "right": {
            "case by case": intervals(),
            "by a table of functions": intervals(
                enclose="""pi = np.pi

    def corners(f):
        return lambda x, y: (
            np.min([f(a, b) for a in x for b in y], axis=0),
            np.max([f(a, b) for a in x for b in y], axis=0),
        )

    def sine(x):
        k = np.ceil((x[0] - pi / 2) / pi)
        inner = np.array([pi / 2 + pi * (k + j) for j in (0, 1)])
        inner = np.clip(inner, x[0], x[1])
        values = np.sin(np.array([x[0], x[1], *inner]))
        return values.min(0), values.max(0)

    rule = {
        "add": corners(np.add),
        "subtract": corners(np.subtract),
        "multiply": corners(np.multiply),
        "negative": lambda x: (-x[1], -x[0]),
        "exp": lambda x: tuple(map(np.exp, x)),
        "tanh": lambda x: tuple(map(np.tanh, x)),
        "sin": sine,
        "cos": lambda x: sine((x[0] + pi / 2, x[1] + pi / 2)),
    }[name]
    return rule(*intervals)""",
                proved="edges = np.linspace(a, b, pieces + 1)\n"
                "    return all(bounds(derivative(f), *e)[0] > 0 for e in zip(edges, edges[1:]))",
            ),
        },
        "wrong": {
            "ends of the sine alone": intervals(
                ENCLOSE.replace("np.where(bottom, -1, lo), np.where(top, 1, hi)", "(lo, hi)")
            ),
            "sine always from -1 to 1": intervals(
                ENCLOSE.replace(
                    "np.where(bottom, -1, lo), np.where(top, 1, hi)", "0 * lo - 1, 0 * hi + 1"
                )
            ),
            "sine and cosine by samples": intervals(
                'if name in ("sin", "cos"):\n'
                "        values = getattr(np, name)(np.linspace(*intervals[0], 20001))\n"
                "        return values.min(axis=0), values.max(axis=0)\n    " + ENCLOSE
            ),
            "maximum without minimum": intervals(ENCLOSE.replace("np.where(bottom, -1, lo)", "lo")),
            "subtraction of like ends": intervals(ENCLOSE.replace("a - d, b - c", "a - c, b - d")),
            "negative not turned": intervals(ENCLOSE.replace("-b, -a", "-a, -b")),
            "products of like ends": intervals(
                ENCLOSE.replace("[a * c, a * d, b * c, b * d]", "[a * c, b * d]")
            ),
            "cosine shifted the wrong way": intervals(
                ENCLOSE.replace("a + np.pi / 2, b + np.pi / 2", "a - np.pi / 2, b - np.pi / 2")
            ),
            "widened by a tenth": intervals(
                ENCLOSE.replace("a + c, b + d", "a + c - 0.1, b + d + 0.1")
            ),
            "bounds of f, not of its derivative": intervals(
                proved=PROVED.replace("derivative(f)", "f")
            ),
            "upper bound": intervals(proved=PROVED.replace("[0] > 0", "[1] > 0")),
            "one piece": intervals(proved="return bool(bounds(derivative(f), a, b)[0] > 0)"),
            "last piece alone": intervals(
                proved=PROVED.replace("for k in range(pieces):", "for k in (pieces - 1,):")
            ),
            "by the slopes at the edges": intervals(
                proved="xs = np.linspace(a, b, pieces + 1)\n"
                "    return bool(np.all(derivative(f)(xs) > 0))"
            ),
        },
    },
}
