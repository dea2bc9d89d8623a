"""Right and wrong answers to the exercises of chapter 0: each is the whole solution cell."""

BATCH = "return jax.vmap(lambda b: energy(sweep(s, b, u)))(betas)"


def traces(numbers="1, 2, 3, 3, 4, 1", body=BATCH):
    return (
        f"# Exercise 0.1\ndef prediction():\n    return {numbers}\n\n\n"
        f"def energies_after(s, betas, u):\n    {body}\n"
    )


SIGMOID = "1 / (1 + jnp.exp(-2 * beta * neighbours(s)))"
SCANNED = """def step(s, key):
        s = heat_bath(s, beta, jax.random.uniform(key, s.shape))
        return s, energy(s)
    s = jnp.ones((L, L), dtype=jnp.int8)
    return jax.lax.scan(step, s, jax.random.split(key, n))[1]"""
FORI = """def step(t, state):
        s, seen = state
        u = jax.random.uniform(jax.random.fold_in(key, t), (L, L))
        s = heat_bath(s, beta=beta, u=u)
        return s, seen.at[t].set(energy(s))
    start = jnp.ones((L, L), dtype=int), jnp.zeros(n)
    return jax.lax.fori_loop(0, n, step, start)[1]"""


def bath(p=SIGMOID, body=SCANNED, colours="(0, 1)", mask="(i + j) % 2 == colour", extra=""):
    return (
        "# Exercise 0.2\ndef heat_bath(s, beta, u):\n    i, j = np.indices(s.shape)\n"
        f"    for colour in {colours}:\n        p = {p}\n"
        f"        new = jnp.where(u < p, 1, -1).astype(s.dtype)\n{extra}"
        f"        s = jnp.where({mask}, new, s)\n    return s\n\n\n"
        f"def record(key, beta, L, n):\n    {body}\n"
    )


OTHERS = "(jnp.sum(x, axis=0) - x) / (len(x) - 1)"
SPREAD = "jnp.sqrt((R - 1) / R * jnp.sum((v - v.mean(axis=0)) ** 2, axis=0))"


def knife(
    means="x.mean(axis=0)",
    others=OTHERS,
    spread=SPREAD,
    values="jax.vmap(f)(leave_one_out(tree))",
    value="f(m)",
):
    return (
        "# Exercise 0.3\ndef leave_one_out(tree):\n"
        f"    return jax.tree.map(lambda x: {others}, tree)\n\n\n"
        f"def jackknife(f, tree):\n    m = jax.tree.map(lambda x: {means}, tree)\n"
        f"    R = len(jax.tree.leaves(tree)[0])\n    v = {values}\n    return {value}, {spread}\n"
    )


GRADIENT = """slopes = jax.grad(log_sum)(parameters, states)
    return {name: slopes[name] / states[0].size for name in slopes}"""
DESCENT = """step = lambda _, p: {
        name: p[name] - 0.15 * (mean - target[name])
        for name, mean in site_means(p, states).items()}
    return jax.lax.fori_loop(0, 2500, step, {name: 0.0 * target[name] for name in target})"""
UNTIL = """off = lambda p: jax.tree.map(lambda m, t: m - t, site_means(p, states), target)
    go_on = lambda p: jnp.max(jnp.abs(jnp.stack(jax.tree.leaves(off(p))))) > 1e-10
    step = lambda p: jax.tree.map(lambda x, d: x - 0.2 * d, p, off(p))
    return jax.lax.while_loop(go_on, step, {name: jnp.zeros(()) for name in target})"""


def magnet(means=GRADIENT, search=DESCENT):
    return (
        f"# Exercise 0.4\ndef site_means(parameters, states):\n    {means}\n\n\n"
        f"def design(target, states):\n    {search}\n"
    )


ANSWERS = {
    "0.1": {
        "right": {
            "lax.map": traces(body="return jax.lax.map(lambda b: energy(sweep(s, b, u)), betas)"),
            "a jit that is kept": traces(
                numbers="[1, 2, 3, 3, 4, 1]",
                body="g = jax.jit(lambda b: energy(sweep(s, b, u)))\n"
                "    return np.array([g(float(b)) for b in betas])",
            ),
        },
        "wrong": {
            "a trace for each value": traces("3, 2, 3, 3, 4, 1"),
            "weak types overlooked": traces("1, 2, 2, 3, 4, 1"),
            "static values not kept": traces("1, 2, 3, 4, 4, 1"),
            "a lambda is the same": traces("1, 2, 3, 3, 1, 1"),
            "one for each of the batch": traces("1, 2, 3, 3, 4, 10"),
            "a Python loop": traces(
                body="return jnp.stack([energy(sweep(s, b, u)) for b in betas])"
            ),
            "a sweep of its own, in Python": traces(
                body="i, j = np.indices(s.shape)\n    def one(b):\n        t = s\n"
                "        for colour in (0, 1):\n            cost = t * neighbours(t)\n"
                "            accept = jnp.minimum(1.0, jnp.exp(-2.0 * b * cost))\n"
                "            flip = ((i + j) % 2 == colour) & (u < accept)\n"
                "            t = jnp.where(flip, -t, t)\n        return energy(t)\n"
                "    return jnp.stack([one(b) for b in betas])"
            ),
            "not whole numbers": traces("1.9, 2, 3, 3, 4, 1"),
            "still static": traces(
                body='g = jax.jit(sweep, static_argnames="beta")\n'
                "    return jnp.stack([energy(g(s, beta=float(b), u=u)) for b in betas])"
            ),
            "energy before": traces(body="return jax.vmap(lambda b: energy(s) + 0 * b)(betas)"),
            "spins handed on": traces(
                body="step = lambda s, b: 2 * (sweep(s, b, u),)\n"
                "    return jax.vmap(energy)(jax.lax.scan(step, s, betas)[1])"
            ),
            "temperature for β": traces(
                body="return jax.vmap(lambda b: energy(sweep(s, 1 / b, u)))(betas)"
            ),
        },
    },
    "0.2": {
        "right": {
            "tanh": bath(p="0.5 * (1 + jnp.tanh(beta * neighbours(s)))"),
            "fori_loop": bath(p="jax.nn.sigmoid(2.0 * beta * neighbours(s))", body=FORI),
        },
        "wrong": {
            "no factor 2": bath(p="jax.nn.sigmoid(beta * neighbours(s))"),
            "sign": bath(p="jax.nn.sigmoid(-2 * beta * neighbours(s))"),
            "Metropolis": bath(
                p="jnp.where(s > 0, 1 - jnp.minimum(1, jnp.exp(-2 * beta * "
                "neighbours(s))), jnp.minimum(1, jnp.exp(2 * beta * neighbours(s))))"
            ),
            "all at once": bath(colours="(0,)", mask="i >= 0"),
            "white first": bath(colours="(1, 0)"),
            "rows for a checkerboard": bath(mask="i % 2 == colour"),
            "overflow": bath(
                p="jnp.exp(beta * neighbours(s)) / (jnp.exp(beta * neighbours(s)) "
                "+ jnp.exp(-beta * neighbours(s)))"
            ),
            "another type": bath().replace(".astype(s.dtype)", ".astype(float)"),
            "one key": bath(
                body=SCANNED.replace("uniform(key", "uniform(KEY").replace(
                    "def step", "KEY = key\n    def step"
                )
            ),
            "before the sweep": bath(
                body=SCANNED.replace("s = heat_bath(s,", "old, s = s, heat_bath(s,").replace(
                    "s, energy(s)", "s, energy(old)"
                )
            ),
            "random start": bath(
                body=SCANNED.replace(
                    "jnp.ones((L, L), dtype=jnp.int8)",
                    "jax.random.rademacher(key, (L, L), dtype=jnp.int8)",
                )
            ),
            "two sweeps for an energy": bath(
                body=SCANNED.replace(
                    "        return s, energy(s)",
                    "        u = jax.random.uniform(jax.random.fold_in(key, 1), s.shape)\n"
                    "        s = heat_bath(s, beta, u)\n        return s, energy(s)",
                )
            ),
            "the chapter's Metropolis": bath(body=SCANNED.replace("heat_bath(", "sweep(")),
            "another lattice": bath(body=SCANNED.replace("(L, L)", "(8, 8)")),
            "another n": bath(body=SCANNED.replace("split(key, n)", "split(key, 150)")),
            "key not used": bath(
                body=SCANNED.replace("split(key, n)", "split(jax.random.key(1), n)")
            ),
            "total energy": bath(body=SCANNED.replace("energy(s)", "energy(s) * s.size")),
            "state not handed on": bath(
                body=SCANNED.replace("s = heat_bath(s,", "new = heat_bath(s,").replace(
                    "s, energy(s)", "s, energy(new)"
                )
            ),
            "a Python loop": bath(
                body="s, seen = jnp.ones((L, L), dtype=jnp.int8), []\n"
                "    for k in jax.random.split(key, n):\n"
                "        s = heat_bath(s, beta, jax.random.uniform(k, s.shape))\n"
                "        seen.append(energy(s))\n    return jnp.stack(seen)"
            ),
            "all energies in one": bath(
                body=SCANNED.replace("split(key, n))[1]", "split(key, n))[1].mean()")
            ),
        },
    },
    "0.3": {
        "right": {
            "a mask": knife(others="jnp.tensordot(1 - jnp.eye(len(x)), x, 1) / (len(x) - 1)"),
            "lax.map and var": knife(
                values="jax.lax.map(f, leave_one_out(tree))",
                spread="jnp.sqrt((R - 1) * jnp.var(v, axis=0))",
            ),
        },
        "wrong": {
            "divided by R": knife(others="(jnp.sum(x, axis=0) - x) / len(x)"),
            "only the one": knife(others="x"),
            "all axes": knife(others="(jnp.sum(x) - x) / (len(x) - 1)"),
            "standard deviation": knife(spread="jnp.std(v, axis=0)"),
            "standard error": knife(spread="jnp.std(v, axis=0, ddof=1) / jnp.sqrt(R)"),
            "ddof": knife(spread="jnp.sqrt((R - 1) * jnp.var(v, axis=0, ddof=1))"),
            "no root": knife(spread="(R - 1) * jnp.var(v, axis=0)"),
            "mean of f": knife(value="v.mean(axis=0)"),
            "a Python loop": knife(
                values="jnp.stack([f(jax.tree.map(lambda x: x[i], leave_one_out(tree))) "
                "for i in range(R)])"
            ),
            "means over all axes": knife(means="x.mean()"),
            "only arrays (R,)": knife(
                values="jax.vmap(f)(jax.tree.map(lambda x: (x.sum() - x) / (R - 1), tree))"
            ),
            "only the names E and E2": knife(
                values='jax.vmap(f)({k: leave_one_out(tree)[k] for k in ("E", "E2")})'
            ),
            "one error for all": knife(spread="jnp.sqrt((R - 1) * jnp.var(v))"),
            "spread over replicas": knife(
                values="jax.vmap(f)(tree)", spread="jnp.std(v, axis=0, ddof=1) / jnp.sqrt(R)"
            ),
        },
    },
    "0.4": {
        "right": {"dicts": magnet(), "while_loop": magnet(search=UNTIL)},
        "wrong": {
            "not per site": magnet(GRADIENT.replace(" / states[0].size", "")),
            "sites of the chapter": magnet(GRADIENT.replace("states[0].size", "16")),
            "minus": magnet(GRADIENT.replace("slopes[name] /", "-slopes[name] /")),
            "uphill": magnet(search=DESCENT.replace("- 0.15", "+ 0.15")),
            "too few steps": magnet(search=DESCENT.replace("2500", "30")),
            "rate too large": magnet(search=DESCENT.replace("0.15", "3.0")),
            "no field": magnet(
                search=DESCENT.replace(
                    "(mean - target[name])", '(mean - target[name]) * (name != "h")'
                )
            ),
            "averages without grad": magnet(
                "S = np.asarray(states)\n"
                "    x = jnp.sum(S * np.roll(S, 1, 2), axis=(1, 2))\n"
                "    y = jnp.sum(S * np.roll(S, 1, 1), axis=(1, 2))\n"
                "    M = jnp.sum(S, axis=(1, 2))\n"
                "    e = parameters['Jx'] * x + parameters['Jy'] * y + parameters['h'] * M\n"
                "    w = jax.nn.softmax(e) / S[0].size\n"
                "    return {'Jx': w @ x, 'Jy': w @ y, 'h': w @ M}"
            ),
            "differences": magnet(
                "p, n, e = parameters, states[0].size, 1e-5\n"
                "    up = {k: log_sum({**p, k: p[k] + e}, states) for k in p}\n"
                "    down = {k: log_sum({**p, k: p[k] - e}, states) for k in p}\n"
                "    return {k: (up[k] - down[k]) / (2 * e * n) for k in p}"
            ),
            "positive couplings": magnet(
                search=DESCENT.replace(
                    "name: p[name] - 0.15 * (mean - target[name])",
                    "name: jnp.abs(p[name] - 0.15 * (mean - target[name]))",
                )
            ),
            "target for parameters": magnet(search="return target"),
            "one value": magnet(search='return {"Jx": 0.1, "Jy": 0.2, "h": 0.1}'),
        },
    },
}
