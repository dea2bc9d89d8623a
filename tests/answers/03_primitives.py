"""Right and wrong answers to the exercises of chapter 3: each is the whole solution cell."""

VALUE = """top = jnp.max(x, axis=-1)
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    return top + jnp.log(jnp.sum(jnp.exp(x - top[..., None]), axis=-1))"""
RULE = """x, dx = primals[0], tangents[0]
    y = logsumexp(x)
    p = jnp.exp(x - jnp.where(y == -jnp.inf, 0.0, y)[..., None])
    return y, (p * dx).sum(-1)"""


def lse(value=VALUE, rule=RULE):
    return (
        f"# Exercise 3.1\n@jax.custom_jvp\ndef logsumexp(x):\n    {value}\n\n\n@logsumexp.defjvp\n"
        f"def logsumexp_jvp(primals, tangents):\n    {rule}\n"
    )


CALL = """shape = jax.ShapeDtypeStruct(jnp.shape(M), float)
    return jax.pure_callback(kepler_solver, shape, e, M, vmap_method='broadcast_all')"""
ORBIT = """e, M = primals
    E = anomaly(e, M)
    D = 1 - e * jnp.cos(E)
    return E, jnp.sin(E) / D * tangents[0] + tangents[1] / D"""


NEWTON = """def newton(e, M):
    E = M + 0.85 * e * jnp.sign(jnp.sin(M))
    for _ in range(12):
        E = E - (E - e * jnp.sin(E) - M) / (1 - e * jnp.cos(E))
    return E


"""


def orbit(rule=ORBIT, call=CALL):
    return (
        f"# Exercise 3.2\n@jax.custom_jvp\ndef anomaly(e, M):\n    {call}\n\n\n@anomaly.defjvp\n"
        f"def anomaly_jvp(primals, tangents):\n    {rule}\n"
    )


ROWS = """# Exercise 3.3
def predictions():
    return {
        "ahead": "yes yes yes yes yes yes yes",
        "frozen": "yes yes wrong wrong wrong yes yes",
        "hosted": "yes yes no no no yes yes",
        "pushing": "yes no no no no yes yes",
        "pulling": "no yes yes yes no yes yes",
    }


"""
DAWSON = """@jax.custom_jvp
def dawson(x):
    return host(scipy.special.dawsn, x)


@dawson.defjvp
def dawson_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    return dawson(x), dx - 2 * x * dawson(x) * dx
"""
PAIR = """def callback(x):
    shape = jax.ShapeDtypeStruct(jnp.shape(x), float)
    f = lambda x: np.asarray(scipy.special.dawsn(x))
    return jax.pure_callback(f, shape, x, vmap_method="broadcast_all")


@jax.custom_jvp
def both(x):
    y = callback(x)
    return jnp.stack([y, 1 - 2 * x * y], -1)


@both.defjvp
def both_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    y = both(x)
    second = -2 * y[..., 0] - 2 * x * y[..., 1]
    return y, jnp.stack([y[..., 1], second], -1) * dx[..., None]


def dawson(x):
    return both(jnp.asarray(x, float))[..., 0]
"""
COMPUTED = """# Exercise 3.3
def predictions():
    functions = dict(ahead=ahead, frozen=frozen, hosted=hosted, pushing=pushing, pulling=pulling)
    return {
        name: " ".join(verdict(f, t, jnp.tanh) for t in transformations.values())
        for name, f in functions.items()
    }


"""
PULL_ONLY = """@jax.custom_vjp
def dawson(x):
    return host(scipy.special.dawsn, x)


dawson.defvjp(lambda x: (dawson(x), x), lambda x, g: (g * (1 - 2 * x * dawson(x)),))
"""
QUADRATURE = """def dawson(x):
    x = jnp.asarray(x)
    t, w = np.polynomial.legendre.leggauss(60)
    t = x[..., None] * (t + 1) / 2
    return x / 2 * jnp.sum(w * jnp.exp(t**2 - x[..., None] ** 2), -1)
"""

SECOND = """fx, ft = jax.jacrev(f)(x, theta), jax.jacfwd(f, 1)(x, theta)
    A = jnp.eye(x.size) - fx
    one = jnp.linalg.solve(A, ft)
    push = lambda x, t: jax.jvp(f, (x, t), (one, 1.0))[1]
    right = jax.jvp(push, (x, theta), (one, 1.0))[1]
    return one, jnp.linalg.solve(A, right)"""
TERMS = """A = jnp.eye(x.size) - jax.jacfwd(f)(x, theta)
    one = jnp.linalg.solve(A, jax.jacfwd(f, 1)(x, theta))
    ftt = jax.jacfwd(jax.jacfwd(f, 1), 1)(x, theta)
    fxt = jax.jacfwd(jax.jacfwd(f, 0), 1)(x, theta)
    fxx = jax.jacfwd(jax.jacfwd(f, 0), 0)(x, theta)
    return one, jnp.linalg.solve(A, ftt + 2 * fxt @ one + jnp.einsum('ijk,j,k', fxx, one, one))"""


def fixed(body):
    return f"# Exercise 3.4\ndef fixed_point_derivatives(f, x, theta):\n    {body}\n"


BACK = """(q, p), bar, total = c
        k = steps - 1 - i
        t = 0.05 * k
        p = p - 0.025 * force(theta, q, t + 0.05)
        q = q - 0.05 * p
        p = p - 0.025 * force(theta, q, t)
        more, bar = jax.vjp(lambda th, s: leap(th, s, k), theta, (q, p))[1](bar)
        return (q, p), bar, total + more"""
SIMULATE = """# Exercise 3.5
@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def simulate(theta, state, steps):
    step = lambda s, k: (leap(theta, s, k), None)
    return jax.lax.scan(step, state, jnp.arange(steps))[0]


def fwd(theta, state, steps):
    out = simulate(theta, state, steps)
    return out, (theta, out)


def bwd(steps, res, bar):
    theta, state = res
    def back(i, c):
        BACK
    _, bar, total = jax.lax.fori_loop(0, steps, back, (state, bar, jnp.zeros(3)))
    return total, bar


simulate.defvjp(fwd, bwd)
"""


def leapfrog(back=BACK):
    return SIMULATE.replace("BACK", back)


# time reversal: with the step -dt, the first kick of the step back is the last one forward
REVERSED = """(q, p), bar, total = c
        k = steps - 1.0 - i
        q, p = leap(theta, (q, p), -(k + 1), -0.05)
        pull = jax.vjp(lambda th, q, p: leap(th, (q, p), k), theta, q, p)[1]
        more, *bar = pull(bar)
        return (q, p), tuple(bar), total + more"""
FLIPPED = """(q, p), bar, total = c
        k = steps - 1 - i
        q, p = leap(theta, (q, -p), k)
        p = -p
        more, bar = jax.vjp(lambda th, s: leap(th, s, k), theta, (q, p))[1](bar)
        return (q, p), bar, total + more"""
KEPT_ALL = """# Exercise 3.5
@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def simulate(theta, state, steps):
    return stored_leaps(theta, state, steps)


def fwd(theta, state, steps):
    step = lambda s, k: (leap(theta, s, k), s)
    last, before = jax.lax.scan(step, state, jnp.arange(steps))
    return last, (theta, before)


def bwd(steps, res, bar):
    theta, before = res
    def back(c, x):
        k, s = x
        more, bar = jax.vjp(lambda th, s: leap(th, s, k), theta, s)[1](c[0])
        return (bar, c[1] + more), None
    start = bar, jnp.zeros(3)
    (bar, total), _ = jax.lax.scan(back, start, (jnp.arange(steps), before), reverse=True)
    return total, bar


simulate.defvjp(fwd, bwd)
"""

ANSWERS = {
    "3.1": {
        "right": {
            "largest taken out": lse(),
            "softmax by hand": lse(
                rule="""x, dx = primals[0], tangents[0]
    y = logsumexp(x)
    y_safe = jnp.where(y == -jnp.inf, 0.0, y)
    x_safe = jnp.where(x == -jnp.inf, y_safe[..., None], x)
    p = jnp.where(x == -jnp.inf, 0.0, jnp.exp(x_safe - y_safe[..., None]))
    return y, jnp.einsum('...i,...i->...', p, dx)"""
            ),
        },
        "wrong": {
            "where after an overflow": lse(
                rule="""x, dx = primals[0], tangents[0]
    y = logsumexp(x)
    x_safe = jnp.where(x == -jnp.inf, 0.0, x)
    y_safe = jnp.where(y == -jnp.inf, 0.0, y)
    p = jnp.where(x == -jnp.inf, 0.0, jnp.exp(x_safe - y_safe[..., None]))
    return y, jnp.einsum('...i,...i->...', p, dx)"""
            ),
            "naive value": lse(value="return jnp.log(jnp.sum(jnp.exp(x), axis=-1))"),
            "all of minus infinity": lse(
                value="top = jnp.max(x, axis=-1)\n"
                "    return top + jnp.log(jnp.sum(jnp.exp(x - top[..., None]), axis=-1))"
            ),
            "NaN in the rule": lse(
                rule="x, dx = primals[0], tangents[0]\n    y = logsumexp(x)\n"
                "    return y, jnp.sum(jnp.exp(x - y[..., None]) * dx, -1)"
            ),
            "sums everything": lse(
                value="top = jax.lax.stop_gradient(jnp.max(x))\n"
                "    return top + jnp.log(jnp.sum(jnp.exp(x - top)))"
            ),
            "detached rule": lse(
                rule=RULE.replace("return y, (p", "p = jax.lax.stop_gradient(p)\n    return y, (p")
            ),
            "largest entry alone": lse(
                rule="x, dx = primals[0], tangents[0]\n    first = jnp.argmax(x, -1)[..., None]\n"
                "    return logsumexp(x), jnp.take_along_axis(dx, first, -1)[..., 0]"
            ),
            "first entry taken out": lse(value=VALUE.replace("jnp.max(x, axis=-1)", "x[..., 0]")),
            "mean taken out": lse(
                value=VALUE.replace(
                    "jnp.max(x, axis=-1)",
                    "jnp.mean(x, axis=-1, where=jnp.isfinite(x))",
                )
            ),
            "a low level for a forbidden one": lse(
                value="x = jnp.where(x == -jnp.inf, -1e5, x)\n    " + VALUE
            ),
            "largest of the array": lse(
                value=VALUE.replace("jnp.max(x, axis=-1)", "jnp.max(x) + 0 * x[..., 0]")
            ),
            "naive softmax": lse(
                rule="x, dx = primals[0], tangents[0]\n    w = jnp.exp(x)\n"
                "    return logsumexp(x), jnp.sum(w * dx, -1) / jnp.sum(w, -1)"
            ),
            "library's in a primitive": lse(value="return jax.nn.logsumexp(x, axis=-1)"),
            "library's under another name": "from jax.scipy.special import logsumexp as other\n"
            + lse(value="return other(x, axis=-1)"),
            "pairs by the library": lse(
                value="y = x[..., 0]\n    for k in range(1, x.shape[-1]):\n"
                "        y = jnp.logaddexp(y, x[..., k])\n    return y"
            ),
            "no primitive": "# Exercise 3.1\ndef logsumexp(x):\n"
            "    return jax.nn.logsumexp(x, axis=-1)\n",
            "hard-coded": "# Exercise 3.1\n@jax.custom_jvp\ndef logsumexp(x):\n"
            "    return jnp.array([4.1, 5.2, 6.3])\n\n\n"
            "logsumexp.defjvp(lambda p, t: (logsumexp(*p), jnp.zeros(3)))\n",
        },
    },
    "3.2": {
        "right": {
            "closed form": orbit(),
            "derivative of the equation by jax": orbit("""(e, M), (de, dM) = primals, tangents
    E = anomaly(e, M)
    F = lambda E, e, M: E - e * jnp.sin(E) - M
    by_E = jax.jvp(lambda E: F(E, e, M), (E,), (jnp.ones_like(E),))[1]
    return E, -jax.jvp(lambda e, M: F(E, e, M), (e, M), (de, dM))[1] / by_E"""),
        },
        "wrong": {
            "sign of the cosine": orbit(ORBIT.replace("1 - e", "1 + e")),
            "sign of the sine": orbit(ORBIT.replace("return E, jnp.sin", "return E, -jnp.sin")),
            "e forgotten": orbit(
                "e, M = primals\n    E = anomaly(e, M)\n"
                "    return E, tangents[1] / (1 - e * jnp.cos(E))"
            ),
            "detached": orbit(
                ORBIT.replace("E = anomaly(e, M)", "E = jax.lax.stop_gradient(anomaly(e, M))")
            ),
            "M for E": orbit(ORBIT.replace("jnp.cos(E)", "jnp.cos(M)")),
            "no factor e": orbit(ORBIT.replace("1 - e * jnp.cos", "1 - jnp.cos")),
            "Newton's method in place of the solver": "# Exercise 3.2\n"
            + NEWTON
            + "anomaly = newton\n",
            "Newton's method in the rule": orbit(
                "return anomaly(*primals), jax.jvp(newton, primals, tangents)[1]"
            )
            + NEWTON,
            "a step of Newton's method in the rule": orbit(
                "E = jax.lax.stop_gradient(anomaly(*primals))\n"
                "    g = lambda e, M: E - (E - e * jnp.sin(E) - M) / (1 - e * jnp.cos(E))\n"
                "    return jax.jvp(g, primals, tangents)"
            ),
            "finite differences": orbit(
                "(e, M), (de, dM) = primals, tangents\n    h, E = 1e-5, anomaly(e, M)\n"
                "    return E, (anomaly(e + h * de, M + h * dM) - E) / h"
            ),
            "hard-coded": "# Exercise 3.2\ndef anomaly(e, M):\n"
            "    return jnp.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])\n",
        },
    },
    "3.3": {
        "right": {
            "with the chapter's host": ROWS + DAWSON,
            "value and slope in one, computed rows": COMPUTED + PAIR,
        },
        "wrong": {
            "frozen is refused": ROWS.replace("wrong wrong wrong", "no no no") + DAWSON,
            "frozen is right": ROWS.replace("wrong wrong wrong", "yes yes yes") + DAWSON,
            "the host stops reverse mode": ROWS.replace("yes yes no no no", "yes no no no no")
            + DAWSON,
            "a pushed host can be pulled": ROWS.replace("yes no no no no", "yes yes no no no")
            + DAWSON,
            "a pull-back has no second derivative": ROWS.replace(
                "no yes yes yes no", "no yes no no no"
            )
            + DAWSON,
            "the host knows no vmap": ROWS.replace("yes yes no no no yes", "yes yes no no no no")
            + DAWSON,
            "one name is missing": ROWS.replace('"pulling"', '"pullback"') + DAWSON,
            "six words": ROWS.replace('no yes yes yes no yes yes"', 'no yes yes yes no yes"')
            + DAWSON,
            "pull-back only": ROWS + PULL_ONLY,
            "no rule": ROWS + "def dawson(x):\n    return host(scipy.special.dawsn, x)\n",
            "sign": ROWS + DAWSON.replace("dx - 2", "dx + 2"),
            "factor": ROWS + DAWSON.replace("2 * x * dawson", "x * dawson"),
            "x detached": ROWS + DAWSON.replace("2 * x *", "2 * jax.lax.stop_gradient(x) *"),
            "slope on the host": ROWS
            + DAWSON.replace(
                "dx - 2 * x * dawson(x) * dx",
                "host(lambda x: 1 - 2 * x * scipy.special.dawsn(x), x) * dx",
            ),
            "not by SciPy": ROWS + QUADRATURE,
            "hard-coded": ROWS + "def dawson(x):\n    return x - 2 * x**3 / 3\n",
        },
    },
    "3.4": {
        "right": {
            "push of a push": fixed(SECOND),
            "term by term": fixed(TERMS),
            "by gmres": fixed(
                TERMS.replace("jnp.linalg.solve(A, ", "solve(A, ").replace(
                    "A = jnp.eye",
                    "solve = lambda A, b: jax.scipy.sparse.linalg.gmres("
                    "A, b, tol=1e-15, maxiter=50)[0]\n    A = jnp.eye",
                )
            ),
        },
        "wrong": {
            "iterated": fixed(
                "g = lambda t: jax.lax.fori_loop(0, 500, lambda _, y: f(y, t), x)\n"
                "    return jax.jacfwd(g)(theta), jax.jacfwd(jax.jacfwd(g))(theta)"
            ),
            "series for the inverse": fixed(TERMS.replace("jnp.linalg.solve(A, ", "neumann(A, "))
            + "\n\ndef neumann(A, b):\n    y = b\n"
            "    for _ in range(400):\n        y = b + y - A @ y\n    return y\n",
            "difference of first derivatives": fixed(
                "A = lambda x, t: jnp.eye(x.size) - jax.jacfwd(f)(x, t)\n"
                "    one = lambda x, t: jnp.linalg.solve(A(x, t), jax.jacfwd(f, 1)(x, t))\n"
                "    h, d = 1e-4, one(x, theta)\n"
                "    return d, (one(x + h * d, theta + h) - one(x - h * d, theta - h)) / (2 * h)"
            ),
            "mixed term once": fixed(TERMS.replace("2 * fxt", "fxt")),
            "no curvature in x": fixed(
                TERMS.replace(" + jnp.einsum('ijk,j,k', fxx, one, one)", "")
            ),
            "transposed": fixed(TERMS.replace("solve(A,", "solve(A.T,")),
            "sign": fixed(TERMS.replace("jnp.eye(x.size) -", "jnp.eye(x.size) +")),
            "not solved": fixed(
                "one = jax.jacfwd(f, 1)(x, theta)\n"
                "    return one, jax.jacfwd(jax.jacfwd(f, 1), 1)(x, theta)"
            ),
            "differentiates a constant x": fixed(
                TERMS.replace("ftt + 2 * fxt @ one + jnp.einsum('ijk,j,k', fxx, one, one)", "ftt")
            ),
            "the chapter's fixed_point": fixed(
                "g = lambda t: fixed_point(f, t, x)\n"
                "    return jax.jacfwd(g)(theta), jax.jacfwd(jax.jacfwd(g))(theta)"
            ),
            "gmres that stops early": fixed(
                TERMS.replace("jnp.linalg.solve(A, ", "solve(A, ").replace(
                    "A = jnp.eye",
                    "solve = lambda A, b: jax.scipy.sparse.linalg.gmres("
                    "A, b, tol=1e-3, restart=2, maxiter=1)[0]\n    A = jnp.eye",
                )
            ),
            "one half": fixed(TERMS.replace("fxx, one, one)", "fxx, one, one) / 2")),
            "hard-coded": fixed("return 0.5 * jnp.ones(x.size), -0.2 * jnp.ones(x.size)"),
        },
    },
    "3.5": {
        "right": {
            "undone kick by kick": leapfrog(),
            "a step of negative length": leapfrog(REVERSED),
        },
        "wrong": {
            "stored": "# Exercise 3.5\ndef simulate(theta, state, steps):\n"
            "    return stored_leaps(theta, state, steps)\n",
            "stored by a rule": KEPT_ALL,
            "checkpoints": """# Exercise 3.5
def simulate(theta, state, steps):
    m = next(m for m in range(int(steps ** 0.5), 0, -1) if steps % m == 0)
    step = lambda s, k: (leap(theta, s, k), None)
    inner = jax.checkpoint(lambda s, j: jax.lax.scan(step, s, j * m + jnp.arange(m))[0])
    outer = lambda s, j: (inner(s, j), None)
    return jax.lax.scan(outer, state, jnp.arange(steps // m))[0]
""",
            "momentum flipped, as without a drive": leapfrog(FLIPPED),
            "number of the step not turned round": leapfrog(BACK.replace("steps - 1 - i", "i")),
            "one step too far": leapfrog(BACK.replace("steps - 1 - i", "steps - i")),
            "pulled at the state after": leapfrog(
                BACK.replace("k), theta, (q, p))", "k), theta, c[0])")
            ),
            "last contribution only": leapfrog(BACK.replace("total + more", "more")),
            "theta forgotten": leapfrog(BACK.replace("total + more", "total")),
            "kicks at the wrong ends": leapfrog(
                BACK.replace("t + 0.05)", "T)").replace("q, t)", "q, t + 0.05)").replace("T)", "t)")
            ),
            "hard-coded": "# Exercise 3.5\ndef simulate(theta, state, steps):\n    return state\n",
        },
    },
}
