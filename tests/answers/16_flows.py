"""Right and wrong answers to the exercises of chapter 16: each is the whole solution cell."""


def tails(forward, inverse):
    return (
        "# Exercise 16.1\n"
        f"def tails_forward(h, z):\n    {forward}\n\n\n"
        f"def tails_inverse(h, x):\n    {inverse}\n"
    )


THERE = (
    "s, t = jnp.tanh(h[:, 0]), h[:, 1]\n"
    "    u = jnp.exp(s) * jnp.arcsinh(z) + t\n"
    "    return jnp.sinh(u), jnp.log(jnp.cosh(u)) + s - jnp.log(1 + z**2) / 2"
)
BACK = (
    "s, t = jnp.tanh(h[:, 0]), h[:, 1]\n"
    "    w = jnp.exp(-s) * (jnp.arcsinh(x) - t)\n"
    "    return jnp.sinh(w), jnp.log(jnp.cosh(w)) - s - jnp.log(1 + x**2) / 2"
)
BY_GRAD = (
    "f = lambda a, b, v: jnp.sinh(jnp.exp(jnp.tanh(a)) * jnp.arcsinh(v) + b)\n"
    "    slope = jax.vmap(jax.grad(f, 2))(h[:, 0], h[:, 1], z)\n"
    "    return f(h[:, 0], h[:, 1], z), jnp.log(slope)"
)


def shifts(
    forward="return z + h[:, 0], jnp.zeros_like(z)",
    inverse="return x - h[:, 0], jnp.zeros_like(x)",
    bound=None,
):
    return (
        "# Exercise 16.2\n"
        f"def shift_forward(h, z):\n    {forward}\n\n\n"
        f"def shift_inverse(h, x):\n    {inverse}\n\n\n"
        f"def volume_bound(log_p, area):\n    {bound or BOUND}\n"
    )


BOUND = (
    "lp = np.sort(np.asarray(log_p))[::-1]\n"
    "    A = (np.arange(lp.size) + 1) * area\n"
    "    return float(np.sum(np.exp(lp) * (lp + np.log(2 * np.pi) + A / (2 * np.pi))) * area)"
)
BY_RANK = (
    "lp = jnp.ravel(log_p)\n"
    "    rank = jnp.zeros(lp.size).at[jnp.argsort(-lp)].set(jnp.arange(lp.size))\n"
    "    p = jnp.exp(lp)\n"
    "    cross = jnp.sum(p * (jnp.log(2 * jnp.pi) + rank * area / (2 * jnp.pi)))\n"
    "    return area * (cross + jnp.sum(p * lp))"
)


def two(body, both=None):
    return (
        "# Exercise 16.3\n"
        f"def predict(a, w, hump):\n    {body}\n\n\n"
        f"def together(flows, energy, key, count):\n    {both or BOTH}\n"
    )


PREDICT = (
    "W = w if hump == 1 else 1 - w\n"
    "    m = a * (2 * w - 1)\n"
    "    return m, (1 + a**2 - m**2) ** 0.5, a * hump, 1, -np.log(W)"
)
BOTH = (
    "keys = jax.random.split(key, len(flows))\n"
    "    x = jnp.concatenate([sample(f, k, count)[0] for f, k in zip(flows, keys)])\n"
    "    q = sum(jnp.exp(log_probs(f, x)) for f in flows) / len(flows)\n"
    "    return x, -jax.vmap(energy)(x) - jnp.log(q)"
)
BY_LATENT = (
    "x = []\n"
    "    for n, flow in enumerate(flows):\n"
    "        z = jax.random.normal(jax.random.fold_in(key, n), (count, 2))\n"
    "        x += [jax.vmap(lambda z: forward(flow, z)[0])(z)]\n"
    "    x = jnp.vstack(x)\n"
    "    log_q = -jnp.inf\n"
    "    for flow in flows:\n"
    "        log_q = jnp.logaddexp(log_q, log_probs(flow, x) - np.log(len(flows)))\n"
    "    return x, -(jax.vmap(energy)(x) + log_q)"
)
OWN = (
    "keys = jax.random.split(key, len(flows))\n"
    "    x, log_q = zip(*[sample(f, k, count) for f, k in zip(flows, keys)])\n"
    "    x = jnp.concatenate(x)\n"
    "    return x, -jax.vmap(energy)(x) - jnp.concatenate(log_q)"
)


def mix(forward=None, inverse=None):
    return (
        "# Exercise 16.4\n"
        f"def mix_forward(params, z):\n    {forward or MIX}\n\n\n"
        f"def mix_inverse(params, x):\n    {inverse or UNMIX}\n"
    )


MIX = (
    "n = len(z)\n"
    "    L = jnp.eye(n) + jnp.tril(params['lower'], -1)\n"
    "    U = jnp.triu(params['upper'], 1) + jnp.diag(jnp.exp(params['log_diag']))\n"
    "    v = L @ (U @ z)\n"
    "    return jnp.take(v, params['order']), params['log_diag'].sum()"
)
UNMIX = (
    "from jax.scipy.linalg import solve_triangular\n"
    "    n = len(x)\n"
    "    L = jnp.eye(n) + jnp.tril(params['lower'], -1)\n"
    "    U = jnp.triu(params['upper'], 1) + jnp.diag(jnp.exp(params['log_diag']))\n"
    "    v = jnp.zeros(n).at[params['order']].set(x)\n"
    "    v = solve_triangular(L, v, lower=True, unit_diagonal=True)\n"
    "    return solve_triangular(U, v), -params['log_diag'].sum()"
)
TWO_SOLVES = (
    "v = solve_triangular(L, v, lower=True, unit_diagonal=True)\n    return solve_triangular(U, v)"
)
BY_ROWS = (
    "d, n = params['log_diag'], len(x)\n"
    "    v = x[jnp.argsort(params['order'])]\n"
    "    for i in range(n):\n"
    "        v = v.at[i].add(-params['lower'][i, :i] @ v[:i])\n"
    "    for i in reversed(range(n)):\n"
    "        v = v.at[i].set((v[i] - params['upper'][i, i + 1:] @ v[i + 1:]) / jnp.exp(d[i]))\n"
    "    return v, -jnp.sum(d)"
)


def line(there=None, back=None, free=None):
    return (
        "# Exercise 16.5\n"
        f"def to_uniform(v, x):\n    {there or CDF}\n\n\n"
        f"def from_uniform(v, u):\n    {back or QUANTILE}\n\n\n"
        f"def free_energy(v, energy, u):\n    {free or FREE}\n"
    )


CDF = (
    "K = len(v) - 1\n"
    "    f = jnp.exp(v - v.max())\n"
    "    m = (f[1:] + f[:-1]) / 2 / K\n"
    "    f, m = f / m.sum(), m / m.sum()\n"
    "    k = jnp.minimum((x * K).astype(int), K - 1)\n"
    "    t = x * K - k\n"
    "    q = (1 - t) * f[k] + t * f[k + 1]\n"
    "    before = jnp.sum(jnp.where(jnp.arange(K) < k, m, 0))\n"
    "    return before + t / K * (f[k] + q) / 2, jnp.log(q)"
)
QUANTILE = (
    "K = len(v) - 1\n"
    "    f = jnp.exp(v - v.max())\n"
    "    m = (f[1:] + f[:-1]) / 2 / K\n"
    "    f, m = f / m.sum(), m / m.sum()\n"
    "    c = jnp.cumsum(m)\n"
    "    k = jnp.minimum(jnp.sum(u >= c), K - 1)\n"
    "    r = (u - (c[k] - m[k])) * K\n"
    "    s = f[k + 1] - f[k]\n"
    "    q = jnp.sqrt(jnp.maximum(f[k] ** 2 + 2 * s * r, 1e-30))\n"
    "    t = 2 * r / (f[k] + q)\n"
    "    return (k + t) / K, jnp.log(q)"
)
BY_TABLE = (
    "g = jnp.linspace(0, 1, 2001)\n"
    "    x = jnp.interp(u, jax.vmap(lambda x: to_uniform(v, x)[0])(g), g)\n"
    "    return x, to_uniform(v, x)[1]"
)
FREE = (
    "x, lq = jax.vmap(from_uniform, (None, 0))(v, u)\n"
    "    return lq.mean() + jax.vmap(energy)(x).mean()"
)
BY_LOOP = (
    "total = 0\n"
    "    for w in u:\n"
    "        x, lq = from_uniform(v, w)\n"
    "        total += lq + energy(x)\n"
    "    return total / len(u)"
)
FREE_BY_CDF = (
    "x = jax.vmap(lambda w: from_uniform(v, w)[0])(u)\n"
    "    lq = jax.vmap(lambda a: to_uniform(v, a)[1])(x)\n"
    "    return jnp.mean(lq + energy(x))"
)

ANSWERS = {
    "16.1": {
        "right": {
            "by formula, both ways": tails(THERE, BACK),
            "slope by grad": tails(
                BY_GRAD,
                "s, t = jnp.tanh(h[:, 0]), h[:, 1]\n"
                "    z = jnp.sinh((jnp.arcsinh(x) - t) / jnp.exp(s))\n"
                "    return z, -tails_forward(h, z)[1]",
            ),
        },
        "wrong": {
            "s without tanh": tails(THERE.replace("jnp.tanh(h[:, 0])", "h[:, 0]"), BACK),
            "s and t exchanged": tails(
                THERE.replace("jnp.tanh(h[:, 0]), h[:, 1]", "jnp.tanh(h[:, 1]), h[:, 0]"), BACK
            ),
            "factor exp s forgotten": tails(THERE.replace(" + s -", " -"), BACK),
            "root forgotten": tails(THERE.replace("(1 + z**2) / 2", "(1 + z**2)"), BACK),
            "slope, not its logarithm": tails(
                THERE.replace(
                    "jnp.log(jnp.cosh(u)) + s - jnp.log(1 + z**2) / 2",
                    "jnp.cosh(u) * jnp.exp(s) / jnp.sqrt(1 + z**2)",
                ),
                BACK,
            ),
            "differences": tails(
                THERE.replace(
                    "return jnp.sinh(u), ",
                    "e = 1e-4 * jnp.maximum(1, jnp.abs(z))\n"
                    "    f = lambda z: jnp.sinh(jnp.exp(s) * jnp.arcsinh(z) + t)\n"
                    "    return f(z), jnp.log((f(z + e) - f(z - e)) / (2 * e))  # ",
                ),
                BACK,
            ),
            "logarithm that cancels": tails(
                THERE, BACK.replace("jnp.arcsinh(x)", "jnp.log(x + jnp.sqrt(x**2 + 1))")
            ),
            "one sum": tails(THERE + ".sum()", BACK),
            "inverse in the wrong order": tails(
                THERE,
                BACK.replace(
                    "jnp.exp(-s) * (jnp.arcsinh(x) - t)", "jnp.exp(-s) * jnp.arcsinh(x) - t"
                ),
            ),
            "inverse's log with the sign of forward": tails(
                THERE, BACK.replace("jnp.log(jnp.cosh(w)) - s -", "-jnp.log(jnp.cosh(w)) + s +")
            ),
            "slope at x in the place of z": tails(
                THERE,
                BACK.replace(
                    "return jnp.sinh(w), jnp.log(jnp.cosh(w)) - s - jnp.log(1 + x**2) / 2",
                    "return jnp.sinh(w), -tails_forward(h, x)[1]",
                ),
            ),
        },
    },
    "16.2": {
        "right": {
            "area up to the cell": shifts(),
            "by rank, entropy apart": shifts(
                "return z + h.reshape(-1), 0 * z", "return x - h.reshape(-1), 0 * x", BY_RANK
            ),
        },
        "wrong": {
            "minus": shifts("return z - h[:, 0], 0 * z", "return x + h[:, 0], 0 * x"),
            "scaled, too": shifts("return z * jnp.exp(h[:, 0]), h[:, 0]"),
            "log-det is the shift": shifts("return z + h[:, 0], h[:, 0]"),
            "inverse adds": shifts(inverse="return x + h[:, 0], 0 * x"),
            "nothing moves": shifts("return z, 0 * z", "return x, 0 * x"),
            "not sorted": shifts(
                bound=BOUND.replace("np.sort(np.asarray(log_p))[::-1]", "np.asarray(log_p)")
            ),
            "sorted from below": shifts(bound=BOUND.replace("[::-1]", "")),
            "entropy alone": shifts(bound=BOUND.replace(" + A / (2 * np.pi)", "")),
            "r in the place of r²": shifts(
                bound=BOUND.replace("A / (2 * np.pi)", "np.sqrt(A / np.pi) / 2")
            ),
            "factor two in r²": shifts(bound=BOUND.replace("A / (2 * np.pi)", "A / np.pi")),
            "entropy forgotten": shifts(bound=BOUND.replace("(lp + np.log", "(np.log")),
            "area forgotten": shifts(bound=BOUND.replace(") * area)", "))")),
            "one dimension's norm": shifts(
                bound=BOUND.replace("np.log(2 * np.pi)", "np.log(2 * np.pi) / 2")
            ),
            "normal distributions only": shifts(
                bound="v = jnp.exp(-jnp.max(log_p)) / (2 * jnp.pi)\n    return v - 1 - jnp.log(v)"
            ),
            "always zero": shifts(bound="return 0.0"),
        },
    },
    "16.3": {
        "right": {
            "variance as a difference": two(PREDICT),
            "samples by hand, logarithms added": two(
                "m = w * a - (1 - w) * a\n"
                "    s = np.sqrt(1 + w * (a - m) ** 2 + (1 - w) * (a + m) ** 2)\n"
                "    return m, s, float(hump) * a, 1.0, np.log(1 / {1: w, -1: 1 - w}[hump])",
                BY_LATENT,
            ),
        },
        "wrong": {
            "equal weights": two(PREDICT.replace("a * (2 * w - 1)", "0.0")),
            "variance for deviation": two(PREDICT.replace("** 0.5", "")),
            "width of the humps forgotten": two(
                PREDICT.replace("(1 + a**2 - m**2)", "(a**2 - m**2)")
            ),
            "ln 2 for all weights": two(PREDICT.replace("-np.log(W)", "np.log(2)")),
            "value of the other hump": two(
                PREDICT.replace("w if hump == 1 else 1 - w", "1 - w if hump == 1 else w")
            ),
            "both cover": two(
                PREDICT.replace("a * hump, 1, -np.log(W)", "m, (1 + a**2 - m**2) ** 0.5, 0.0")
            ),
            "sign of the value": two(PREDICT.replace("-np.log(W)", "np.log(W)")),
            "four numbers": two(PREDICT.replace(", -np.log(W)", "")),
            "each flow's own weights": two(PREDICT, OWN),
            "too narrow a base": two(
                PREDICT, BY_LATENT.replace("jax.random.normal", "0.5 * jax.random.normal")
            ),
            "one key for all flows": two(PREDICT, BOTH.replace("sample(f, k,", "sample(f, key,")),
            "sum, not mean, of the densities": two(PREDICT, BOTH.replace(" / len(flows)", "")),
            "half, for any number of flows": two(
                PREDICT, BOTH.replace("len(flows)\n    ret", "2\n    ret")
            ),
            "mean of the logarithms": two(
                PREDICT,
                BOTH.replace("jnp.exp(log_probs(f, x))", "log_probs(f, x)").replace(
                    "jnp.log(q)", "q"
                ),
            ),
            "sign of the energy": two(PREDICT, BOTH.replace("-jax.vmap", "jax.vmap")),
            "energy forgotten": two(PREDICT, BOTH.replace("-jax.vmap(energy)(x) ", "")),
            "weights, not their logarithms": two(
                PREDICT,
                BOTH.replace(
                    "-jax.vmap(energy)(x) - jnp.log(q)", "jnp.exp(-jax.vmap(energy)(x)) / q"
                ),
            ),
            "samples of one flow": two(
                PREDICT, BOTH.replace("sample(f, k, count)", "sample(flows[0], k, count)")
            ),
            "count in all": two(
                PREDICT, BOTH.replace("sample(f, k, count)", "sample(f, k, count // len(flows))")
            ),
        },
    },
    "16.4": {
        "right": {
            "matrices and a scattered permutation": mix(),
            "substitution row by row": mix(
                "d = params['log_diag']\n"
                "    u = jnp.exp(d) * z + jnp.triu(params['upper'], 1) @ z\n"
                "    v = u + jnp.tril(params['lower'], -1) @ u\n"
                "    return v[params['order']], d.sum()",
                BY_ROWS,
            ),
        },
        "wrong": {
            "permutation first": mix(
                MIX.replace(
                    "v = L @ (U @ z)\n    return jnp.take(v, params['order'])",
                    "v = L @ (U @ z[params['order']])\n    return v",
                )
            ),
            "inverse permutation": mix(
                MIX.replace("jnp.take(v, params['order'])", "v[jnp.argsort(params['order'])]")
            ),
            "diagonal of lower counts": mix(
                MIX.replace(
                    "jnp.eye(n) + jnp.tril(params['lower'], -1)", "jnp.tril(params['lower'])"
                )
            ),
            "upper with its diagonal": mix(
                MIX.replace("jnp.triu(params['upper'], 1)", "jnp.triu(params['upper'])")
            ),
            "U and L exchanged": mix(MIX.replace("L @ (U @ z)", "U @ (L @ z)")),
            "determinant by slogdet": mix(
                MIX.replace("params['log_diag'].sum()", "jnp.linalg.slogdet(L @ U)[1]")
            ),
            "product, not its logarithm": mix(
                MIX.replace("params['log_diag'].sum()", "jnp.exp(params['log_diag']).sum()")
            ),
            "diagonal is d": mix(
                MIX.replace("jnp.diag(jnp.exp(params['log_diag']))", "jnp.diag(params['log_diag'])")
            ),
            "general solver": mix(
                inverse=UNMIX.replace(
                    TWO_SOLVES,
                    "return jnp.linalg.solve(L @ U, v)",
                )
            ),
            "inverse matrix": mix(
                inverse=UNMIX.replace(
                    TWO_SOLVES,
                    "return jnp.linalg.inv(L @ U) @ v",
                )
            ),
            "product of matrices": mix(MIX.replace("L @ (U @ z)", "L @ U @ z")),
            "pseudoinverse": mix(
                inverse=UNMIX.replace(TWO_SOLVES, "return jnp.linalg.pinv(L @ U) @ v")
            ),
            "two inverse matrices": mix(
                inverse=UNMIX.replace(
                    TWO_SOLVES,
                    "A = solve_triangular(L, jnp.eye(n), lower=True)\n"
                    "    return solve_triangular(U, jnp.eye(n)) @ (A @ v)",
                )
            ),
            "order not undone": mix(
                inverse=UNMIX.replace(
                    "jnp.zeros(n).at[params['order']].set(x)", "x[params['order']]"
                )
            ),
            "sign of the log-det": mix(
                inverse=UNMIX.replace("-params['log_diag'].sum()", "params['log_diag'].sum()")
            ),
            "U before L": mix(
                inverse=UNMIX.replace(
                    TWO_SOLVES,
                    "v = solve_triangular(U, v)\n    return solve_triangular(L, v, lower=True)",
                )
            ),
        },
    },
    "16.5": {
        "right": {
            "normalised tables": line(),
            "density by the distribution function": line(free=FREE_BY_CDF),
        },
        "wrong": {
            "logarithm is linear": line(
                CDF.replace(
                    "q = (1 - t) * f[k] + t * f[k + 1]", "q = f[k] ** (1 - t) * f[k + 1] ** t"
                )
            ),
            "not normalised": line(
                CDF.replace("f, m = f / m.sum(), m / m.sum()", "m = m / m.sum()")
            ),
            "overflow": line(CDF.replace("v - v.max()", "v")),
            "steps, not lines": line(
                CDF.replace("q = (1 - t) * f[k] + t * f[k + 1]", "q = (f[k] + f[k + 1]) / 2")
            ),
            "bins before forgotten": line(CDF.replace("before + t / K", "t / K")),
            "density of the left end": line(CDF.replace("jnp.log(q)", "jnp.log(f[k])")),
            "school formula": line(
                back=QUANTILE.replace("t = 2 * r / (f[k] + q)", "t = (q - f[k]) / s")
            ),
            "linear within bins": line(
                back=QUANTILE.replace("t = 2 * r / (f[k] + q)", "t = r / (K * m[k])")
            ),
            "inverse's log-density has the other sign": line(
                back=QUANTILE.replace("(k + t) / K, jnp.log(q)", "(k + t) / K, -jnp.log(q)")
            ),
            "by a table": line(back=BY_TABLE),
            "samples detached": line(free=FREE.replace("(v, u)", "(jax.lax.stop_gradient(v), u)")),
            "energy detached": line(
                free=FREE.replace(
                    "jax.vmap(energy)(x)", "jax.vmap(energy)(jax.lax.stop_gradient(x))"
                )
            ),
            "entropy forgotten": line(free=FREE.replace("lq.mean() + ", "")),
        },
    },
}
