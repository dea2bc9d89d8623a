"""Right and wrong answers to the exercises of chapter 2: each is the whole solution cell."""

SUM_TO = """def sum_to(c, shape):
    while c.ndim > len(shape):
        c = c.sum(axis=0)
    for k, n in enumerate(shape):
        if n == 1:
            c = c.sum(axis=k, keepdims=True)
    return c


"""
HYPOT = "return sum_to(g * x / z, x.shape), sum_to(g * y / z, y.shape)"
SOFTMAX = "return p * (g - np.sum(g * p, axis=-1, keepdims=True))"
SYLVESTER = "S = scipy.linalg.solve_sylvester(A.T, B.T, g)\n    return -S @ X.T, -X.T @ S, S"


def rules(hypot=HYPOT, softmax=SOFTMAX, sylvester=SYLVESTER):
    return f"""# Exercise 2.1
{SUM_TO}def hypot_vjp(g, z, x, y):
    {hypot}


def softmax_vjp(g, p, x):
    {softmax}


def sylvester_vjp(g, X, A, B, C):
    {sylvester}
"""


LOOP = """step = lambda x, t: x - f(x, t) / jax.grad(f)(x, t)
    dx = 0.0
    for _ in range(40):
        x, dx = jax.jvp(step, (x, theta), (dx, dtheta))
    return x, dx"""
IMPLICIT = "fx, ft = jax.grad(f, (0, 1))(x, theta)\n    return -jnp.dot(ft, dtheta) / fx"


def newton(loop=LOOP, implicit=IMPLICIT):
    return (
        f"# Exercise 2.2\ndef newton_jvp(f, x, theta, dtheta):\n    {loop}\n\n\n"
        f"def implicit_jvp(f, x, theta, dtheta):\n    {implicit}\n"
    )


BEST = """from functools import lru_cache

    @lru_cache(None)
    def c(i, j):
        if j == i + 1:
            return 0
        return min(c(i, k) + c(k, j) + sizes[i] * sizes[k] * sizes[j] for k in range(i + 1, j))

    return c(0, len(sizes) - 1)"""


def counting(
    forward="return sizes[0] * int(np.dot(sizes[1:], sizes[:-1]))",
    reverse="return sizes[-1] * int(np.dot(sizes[1:], sizes[:-1]))",
    best=BEST,
):
    return f"""# Exercise 2.3
def forward_cost(sizes):
    {forward}


def reverse_cost(sizes):
    {reverse}


def best_cost(sizes):
    {best}
"""


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


def trimmed(keep="np.argsort(abs(r))[:h]", gradient="-2 * r[keep] @ X[keep]"):
    return f"""r = y - X @ theta
    keep = {keep}
    return {gradient}"""


TRIMMED = trimmed()


def sorting(ranked, trimmed=TRIMMED):
    return f"""# Exercise 2.5
def rank_loss_grad(x, c):
    {ranked}


def trimmed_grad(theta, X, y, h):
    {trimmed}
"""


RANKS = "return c[np.argsort(np.argsort(x))] * x"
MUL = "return np.array([sum(a[j] * b[k - j] for j in range(k + 1)) for k in range(4)])"
DIV = """z0 = a[0] / b[0]
    z1 = (a[1] - b[1] * z0) / b[0]
    z2 = (a[2] - b[1] * z1 - b[2] * z0) / b[0]
    return np.array([z0, z1, z2, (a[3] - b[1] * z2 - b[2] * z1 - b[3] * z0) / b[0]])"""
EXP = (
    "return np.exp(a[0]) * "
    "np.array([1, a[1], a[2] + a[1]**2 / 2, a[3] + a[1] * a[2] + a[1]**3 / 6])"
)
SIN = (
    "s, c = np.sin(a[0]), np.cos(a[0])\n"
    "    return np.array([s, c * a[1], c * a[2] - s * a[1]**2 / 2, "
    "c * a[3] - s * a[1] * a[2] - c * a[1]**3 / 6])"
)


def jets(mul=MUL, div=DIV, exp=EXP, sin=SIN):
    return (
        f"# Exercise 2.6\ndef mul(a, b):\n    {mul}\n\n\ndef div(a, b):\n    {div}\n\n\n"
        f"def exp(a):\n    {exp}\n\n\ndef sin(a):\n    {sin}\n"
    )


ANSWERS = {
    "2.1": {
        "right": {
            "with numpy": rules(),
            "by dense Jacobians": rules(
                softmax="J = np.einsum('...i,ij->...ij', p, np.eye(p.shape[-1])) "
                "- p[..., :, None] * p[..., None, :]\n"
                "    return np.einsum('...ij,...i->...j', J, g)",
                sylvester="m, n = C.shape\n"
                "    M = np.kron(A.T, np.eye(n)) + np.kron(np.eye(m), B)\n"
                "    S = np.linalg.solve(M, g.ravel()).reshape(m, n)\n"
                "    return -np.outer(S[:, 0], X[:, 0]) "
                "- sum(np.outer(S[:, k], X[:, k]) for k in range(1, n)), -(X.T @ S), S",
            ),
            "hypot by jax": rules(hypot="return jax.vjp(jnp.hypot, x, y)[1](g)"),
        },
        "wrong": {
            "no sum over repeated axes": rules(hypot="return g * x / z, g * y / z"),
            "x alone": rules(hypot="return [sum_to(g * x / z, x.shape)]"),
            "single precision": rules(
                softmax="return np.float32(p * (g - np.sum(g * p, axis=-1, keepdims=True)))"
            ),
            "mean over repeated axes": rules(hypot=HYPOT).replace("c.sum(", "c.mean("),
            "leading axes only": rules().replace(
                "        if n == 1:\n            c = c.sum(axis=k, keepdims=True)\n",
                "        pass\n",
            ),
            "x and y swapped": rules(
                hypot="return sum_to(g * y / z, x.shape), sum_to(g * x / z, y.shape)"
            ),
            "diagonal of the softmax alone": rules(softmax="return g * p * (1 - p)"),
            "not contracted": rules(softmax="return p * (g - g * p)"),
            "second axis": rules(softmax="return p * (g - np.sum(g * p, axis=1, keepdims=True))"),
            "sizes of one equation": rules(sylvester=SYLVESTER + " + np.zeros((4, 3))"),
            "sum over all axes": rules(softmax="return p * (g - np.sum(g * p))"),
            "not transposed": rules(sylvester=SYLVESTER.replace("A.T, B.T", "A, B")),
            "sign": rules(sylvester=SYLVESTER.replace("-S @ X.T, -X.T", "S @ X.T, X.T")),
            "wrong side": rules(
                sylvester=SYLVESTER.replace("-S @ X.T, -X.T @ S", "-X @ S.T, -S.T @ X")
            ),
        },
    },
    "2.2": {
        "right": {
            "fixed number of steps": newton(),
            "with numbers of jax": newton(
                LOOP.replace(
                    "for _ in range(40):\n        x, dx =",
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
                "for _ in range(60):\n        x = x - f(x, theta) / jax.grad(f)(x, theta)\n"
                "    return x, implicit_jvp(f, x, theta, dtheta)"
            ),
        },
        "wrong": {
            "stops with the value": newton(
                LOOP.replace("for _ in range(40):", "while abs(f(x, theta)) > 1e-12:")
            ),
            "tangent of theta dropped": newton(LOOP.replace("(dx, dtheta)", "(dx, 0 * dtheta)")),
            "one step": newton(LOOP.replace("range(40)", "range(1)")),
            "sign of the step": newton(LOOP.replace("x - f(x, t)", "x + f(x, t)")),
            "detached slope": newton(
                LOOP.replace(
                    "/ jax.grad(f)(x, t)", "/ jax.lax.stop_gradient(jax.grad(f)(x, t) * 1.1)"
                ).replace("40", "5")
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
            "with numpy and recursion": counting(),
            "a helper named product": counting()
            .replace(
                "def forward_cost", "def product(a, b):\n    return a * b\n\n\ndef forward_cost"
            )
            .replace("return sizes[-1] *", "return product(sizes[-1], 1) *"),
            "table of rows": counting(
                forward="""total = 0
    for k in range(1, len(sizes)):
        total += sizes[0] * sizes[k - 1] * sizes[k]
    return total""",
                best="""L = len(sizes) - 1
    M = [[0] * (L + 1) for _ in range(L + 1)]
    for i in range(L - 2, -1, -1):
        for j in range(i + 2, L + 1):
            n = sizes[i] * sizes[j]
            M[i][j] = min(M[i][k] + M[k][j] + n * sizes[k] for k in range(i + 1, j))
    return M[0][L]""",
            ),
        },
        "wrong": {
            "forward and reverse swapped": counting(
                "return sizes[-1] * int(np.dot(sizes[1:], sizes[:-1]))",
                "return sizes[0] * int(np.dot(sizes[1:], sizes[:-1]))",
            ),
            "one vector": counting("return int(np.dot(sizes[1:], sizes[:-1]))"),
            "first layer free": counting("return sizes[0] * int(np.dot(sizes[2:], sizes[1:-1]))"),
            "additions counted too": counting(
                "return 2 * sizes[0] * int(np.dot(sizes[1:], sizes[:-1]))"
            ),
            "better of two modes": counting(
                best="return min(forward_cost(sizes), reverse_cost(sizes))"
            ),
            "greedy": counting(
                best="""s, total = list(sizes), 0
    while len(s) > 2:
        k = max(range(1, len(s) - 1), key=lambda k: s[k])
        total += s[k - 1] * s[k] * s[k + 1]
        del s[k]
    return total"""
            ),
            "left to right": counting(
                best="return sum("
                "sizes[0] * sizes[k] * sizes[k + 1] for k in range(1, len(sizes) - 1))"
            ),
            "without a table": counting(
                best=BEST.replace("@lru_cache(None)\n    ", "").replace(
                    "from functools import lru_cache\n", ""
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
            "ranks": sorting(RANKS),
            "by jax": sorting(
                "return jax.grad(lambda x: 0.5 * jnp.sum(c * jnp.sort(x)**2))(jnp.asarray(x))",
                "loss = lambda t: jnp.sum(jnp.sort((y - X @ t)**2)[:h])\n"
                "    return jax.grad(loss)(jnp.asarray(theta))",
            ),
            "comparison of all pairs": sorting(
                "rank = (x[:, None] > x[None]).sum(1)\n    return c[rank] * x",
                "r = y - X @ theta\n"
                "    cut = np.sort(r**2)[h - 1]\n"
                "    return 2 * X.T @ np.where(r**2 <= cut, -r, 0)",
            ),
        },
        "wrong": {
            "argsort for ranks": sorting("return c[np.argsort(x)] * x"),
            "left in sorted order": sorting("return c * np.sort(x)"),
            "factor two": sorting("return 2 * c[np.argsort(np.argsort(x))] * x"),
            "weights without order": sorting("return c * x"),
            "descending": sorting("return c[np.argsort(np.argsort(-x))] * x"),
            "nine entries": sorting(
                "z = np.zeros(9)\n    z[np.argsort(x)] = c * np.sort(x)\n    return z"
            ),
            "sorts its argument": sorting("x.sort()\n    return c * x"),
            "two parameters alone": sorting(
                RANKS,
                trimmed(
                    gradient="np.array([-2 * r[keep] @ X[keep, 0], -2 * r[keep] @ X[keep, 1]])"
                ),
            ),
            "all residuals": sorting(RANKS, "return -2 * X.T @ (y - X @ theta)"),
            "largest residuals": sorting(RANKS, trimmed(keep="np.argsort(abs(r))[-h:]")),
            "signed order": sorting(RANKS, trimmed(keep="np.argsort(r)[:h]")),
            "fourteen residuals, hard-coded": sorting(
                RANKS, trimmed(keep="np.argsort(abs(r))[:14]")
            ),
            "sign": sorting(RANKS, trimmed(gradient="2 * r[keep] @ X[keep]")),
        },
    },
    "2.6": {
        "right": {
            "formulas": jets(),
            "power series and polynomials": jets(
                mul="return np.bincount("
                "np.add.outer(range(4), range(4)).ravel(), np.outer(a, b).ravel())[:4]",
                div="M = sum(b[k] * np.eye(4, k=-k) for k in range(4))\n"
                "    return np.linalg.solve(M, a)",
                exp="u = np.array([0, *a[1:]])\n"
                "    return np.exp(a[0]) * "
                "(np.eye(4)[0] + u + mul(u, u) / 2 + mul(u, mul(u, u)) / 6)",
                sin="u = np.array([0, *a[1:]])\n    u2 = mul(u, u)\n    u3 = mul(u, u2)\n"
                "    return np.sin(a[0]) * (np.eye(4)[0] - u2 / 2) + np.cos(a[0]) * (u - u3 / 6)",
            ),
        },
        "wrong": {
            "entry by entry": jets(mul="return a * b"),
            "derivatives instead of coefficients": jets(
                mul="return np.array([a[0]*b[0], a[0]*b[1]+a[1]*b[0], "
                "a[0]*b[2]+2*a[1]*b[1]+a[2]*b[0], "
                "a[0]*b[3]+3*a[1]*b[2]+3*a[2]*b[1]+a[3]*b[0]])"
            ),
            "division by the value alone": jets(div="return a / b[0]"),
            "sign in the division": jets(div=DIV.replace("- b[2] * z0", "+ b[2] * z0")),
            "exp to first order": jets(exp="return np.exp(a[0]) * np.array([1, a[1], a[2], a[3]])"),
            "exp without one half": jets(exp=EXP.replace("a[1]**2 / 2", "a[1]**2")),
            "sign of the cosine's derivative": jets(
                sin=SIN.replace("- s * a[1]**2", "+ s * a[1]**2")
            ),
            "missing mixed term": jets(sin=SIN.replace(" - s * a[1] * a[2]", "")),
        },
    },
}
