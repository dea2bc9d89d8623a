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


AIRY = """# Exercise 3.3
def host(k, x):
    x = jnp.asarray(x, float)
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    return jax.pure_callback(
        lambda x: np.asarray(scipy.special.airy(x)[k]), shape, x, vmap_method="broadcast_all"
    )


@jax.custom_jvp
def airy(x):
    return host(0, x)


@jax.custom_jvp
def slope(x):
    return host(1, x)


@airy.defjvp
def airy_jvp(primals, tangents):
    return airy(primals[0]), slope(primals[0]) * tangents[0]


@slope.defjvp
def slope_jvp(primals, tangents):
    return slope(primals[0]), primals[0] * airy(primals[0]) * tangents[0]
"""
PAIR = """# Exercise 3.3
@jax.custom_jvp
def both(x):
    shape = jax.ShapeDtypeStruct((*x.shape, 2), x.dtype)
    pair = lambda x: np.stack(scipy.special.airy(x)[:2], -1)
    return jax.pure_callback(pair, shape, x, vmap_method="expand_dims")


@both.defjvp
def both_jvp(primals, tangents):
    (x,), (dx,) = primals, tangents
    y = both(x)
    return y, jnp.stack([y[..., 1], x * y[..., 0]], -1) * dx[..., None]


def airy(x):
    return both(jnp.asarray(x, float))[..., 0]
"""
VJP_ONLY = """# Exercise 3.3
def host(k, x):
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    return jax.pure_callback(
        lambda x: np.asarray(scipy.special.airy(x)[k]), shape, x, vmap_method="expand_dims"
    )


@jax.custom_vjp
def airy(x):
    return host(0, x)


airy.defvjp(lambda x: (airy(x), x), lambda x, g: (g * host(1, x),))
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
        q, p = leap(theta, (q, -p))
        p = -p
        more, bar = jax.vjp(leap, theta, (q, p))[1](bar)
        return (q, p), bar, total + more"""
SIMULATE = """# Exercise 3.5
@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def simulate(theta, state, steps):
    return jax.lax.scan(lambda s, _: (leap(theta, s), None), state, length=steps)[0]


def fwd(theta, state, steps):
    out = simulate(theta, state, steps)
    return out, (theta, out)


def bwd(steps, res, bar):
    theta, state = res
    def back(_, c):
        BACK
    _, bar, total = jax.lax.fori_loop(0, steps, back, (state, bar, jnp.zeros(2)))
    return total, bar


simulate.defvjp(fwd, bwd)
"""


def leapfrog(back=BACK):
    return SIMULATE.replace("BACK", back)


INVERSE = """(q, p), bar, total = c
        p = p - 0.025 * force(theta, q)
        q = q - 0.05 * p
        p = p - 0.025 * force(theta, q)
        more, bar = jax.vjp(leap, theta, (q, p))[1](bar)
        return (q, p), bar, total + more"""

ANSWERS = {
    "3.1": {
        "right": {
            "largest taken out": lse(),
            "softmax by hand": lse(
                rule="""x, dx = primals[0], tangents[0]
    y = logsumexp(x)
    x_safe = jnp.where(x == -jnp.inf, 0.0, x)
    y_safe = jnp.where(y == -jnp.inf, 0.0, y)
    p = jnp.where(x == -jnp.inf, 0.0, jnp.exp(x_safe - y_safe[..., None]))
    return y, jnp.einsum('...i,...i->...', p, dx)"""
            ),
        },
        "wrong": {
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
            "finite differences": orbit(
                "(e, M), (de, dM) = primals, tangents\n    h, E = 1e-5, anomaly(e, M)\n"
                "    return E, (anomaly(e + h * de, M + h * dM) - E) / h"
            ),
            "hard-coded": "# Exercise 3.2\ndef anomaly(e, M):\n"
            "    return jnp.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])\n",
        },
    },
    "3.3": {
        "right": {"two primitives": AIRY, "one primitive with two results": PAIR},
        "wrong": {
            "pull-back only": VJP_ONLY,
            "sign of x": AIRY.replace("primals[0] * airy", "-primals[0] * airy"),
            "second derivative without x": AIRY.replace(
                "primals[0] * airy(primals[0])", "airy(primals[0])"
            ),
            "Bi": AIRY.replace("[k])", "[k + 2])"),
            "tangent forgotten": AIRY.replace(
                "slope(primals[0]) * tangents[0]\n\n\n@slope",
                "slope(primals[0]) + 0 * tangents[0]\n\n\n@slope",
            ),
            "x detached": AIRY.replace(
                "primals[0] * airy", "jax.lax.stop_gradient(primals[0]) * airy"
            ),
            "no rule": """# Exercise 3.3
def airy(x):
    x = jnp.asarray(x, float)
    shape = jax.ShapeDtypeStruct(x.shape, x.dtype)
    Ai = lambda x: scipy.special.airy(x)[0]
    return jax.pure_callback(Ai, shape, x, vmap_method='expand_dims')
""",
            "hard-coded": "# Exercise 3.3\ndef airy(x):\n"
            "    return 0.355028053887817 - 0.258819403792807 * jnp.asarray(x)\n",
        },
    },
    "3.4": {
        "right": {"push of a push": fixed(SECOND), "term by term": fixed(TERMS)},
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
            "one half": fixed(TERMS.replace("fxx, one, one)", "fxx, one, one) / 2")),
            "hard-coded": fixed("return 0.5 * jnp.ones(x.size), -0.2 * jnp.ones(x.size)"),
        },
    },
    "3.5": {
        "right": {"flip the momentum": leapfrog(), "step undone by hand": leapfrog(INVERSE)},
        "wrong": {
            "stored": """# Exercise 3.5
def simulate(theta, state, steps):
    return jax.lax.scan(lambda s, _: (leap(theta, s), None), state, length=steps)[0]
""",
            "checkpoints": """# Exercise 3.5
def simulate(theta, state, steps):
    m = next(m for m in range(int(steps ** 0.5), 0, -1) if steps % m == 0)
    step = lambda s, _: (leap(theta, s), None)
    inner = jax.checkpoint(lambda s: jax.lax.scan(step, s, length=m)[0])
    return jax.lax.scan(lambda s, _: (inner(s), None), state, length=steps // m)[0]
""",
            "pulled at the state after": leapfrog(
                BACK.replace(
                    "more, bar = jax.vjp(leap, theta, (q, p))",
                    "more, bar = jax.vjp(leap, theta, c[0])",
                )
            ),
            "last contribution only": leapfrog(BACK.replace("total + more", "more")),
            "momentum not flipped": leapfrog(BACK.replace("(q, -p))\n        p = -p", "(q, p))")),
            "flipped once": leapfrog(BACK.replace("\n        p = -p", "")),
            "theta forgotten": leapfrog(BACK.replace("total + more", "total")),
            "hard-coded": "# Exercise 3.5\ndef simulate(theta, state, steps):\n    return state\n",
        },
    },
}
