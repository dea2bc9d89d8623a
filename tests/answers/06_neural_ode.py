"""Right and wrong answers to the exercises of chapter 6: each is the whole solution cell."""

SLOPES = """q, v, qb, vb, _, _ = state
    w, g = params
    return jnp.stack([v, -w**2 * q - g * v, w**2 * vb, g * vb - qb, 2 * w * q * vb, v * vb])"""
BACK = """hs = jnp.full(400, T / 400)
    start = jnp.concatenate([jnp.asarray(x0, float), jnp.zeros(4)])
    end = march(rk4_step, augmented, start, 0.0, hs, params)
    end = jnp.concatenate([end[:2], slope(end[:2]), jnp.zeros(2)])
    return march(rk4_step, augmented, end, T, -hs, params)[2:]"""
BY_VJP = """x, bars = state[:2], state[2:4]
    f = lambda x, p: jnp.stack([x[1], -p[0] ** 2 * x[0] - p[1] * x[1]])
    dx, pull = jax.vjp(f, x, params)
    x_bar, p_bar = pull(bars)
    return jnp.concatenate([dx, -x_bar, -jnp.stack(p_bar)])"""


MATRICES = """w, g = params
    A = jnp.array([[0.0, 1.0], [-(w**2), -g]])
    (q, v), bars = state[:2], state[2:4]
    ends = jnp.array([2 * w * q, v]) * bars[1]
    return jnp.concatenate([A @ state[:2], -A.T @ bars, ends])"""


def oscillator(slopes=SLOPES, back=BACK):
    return (
        f"# Exercise 6.1\ndef augmented(state, t, params):\n    {slopes}\n\n\n"
        f"def oscillator_gradient(x0, T, params, slope):\n    {back}\n"
    )


SOLVE = """# Exercise 6.2
@partial(jax.custom_vjp, nondiff_argnums=(0,))
def solve(f, x, t0, t1, params):
    return backsolve(fixed(rk4_step, 200), f, t0, t1)[0](x, params)[0]


def solve_ahead(f, x, t0, t1, params):
    x1, home = backsolve(fixed(rk4_step, 200), f, t0, t1)[0](x, params)
    return x1, (home, t0, t1, x1, params)


def solve_back(f, kept, bar):
    x, t0, t1, x1, params = kept
    dot = lambda a, b: sum(jnp.vdot(p, q) for p, q in zip(*map(jax.tree.leaves, (a, b))))
    x_bar, p_bar = backsolve(fixed(rk4_step, 200), f, t0, t1)[1](x, x1, params, bar)
    END


solve.defvjp(solve_ahead, solve_back)
"""
TIMES = "return x_bar, -dot(x_bar, f(x, t0, params)), dot(bar, f(x1, t1, params)), p_bar"
RAVELLED = """v = lambda a: ravel_pytree(a)[0]
    at_start, at_end = v(f(x, t0, params)), v(f(x1, t1, params))
    return x_bar, -v(x_bar) @ at_start, v(bar) @ at_end, p_bar"""


def times(end):
    return SOLVE.replace("END", end)


NEWTON = """t = search(x0, params)
    q, v = fly(x0, jax.lax.stop_gradient(t), params)
    return t - q / jax.lax.stop_gradient(v)"""
BOUNCE = """t = impact_time(x0, params)
    v = fly(x0, t, params)[1]
    return fly(jnp.array([0.0, -params[2] * v]), T - t, params)[0]"""
RULE = """# Exercise 6.3
@jax.custom_jvp
def impact_time(x0, params):
    return search(x0, params)


@impact_time.defjvp
def impact_rule(primals, tangents):
    t = impact_time(*primals)
    at = lambda x0, params: fly(x0, t, params)
    (_, v), (dq, _) = jax.jvp(at, primals, tangents)
    return t, -dq / v


def height_after(x0, T, params):
    t = impact_time(x0, params)
    state = fly(x0, t, params) * jnp.stack([0.0, -params[2]])
    return fly(state, T - t, params)[0]
"""


def ball(time=NEWTON, height=BOUNCE):
    return (
        f"# Exercise 6.3\ndef impact_time(x0, params):\n    {time}\n\n\n"
        f"def height_after(x0, T, params):\n    {height}\n"
    )


MIDPOINT = """# Exercise 6.4
PREDICTION = (4, 4)


def symplectic(f, states, t0, h, params, last_bar):
    x_bar, total = last_bar, jax.tree.map(jnp.zeros_like, params)
    for n in reversed(range(len(states) - 1)):
        x, t = states[n], t0 + n * h
        k, at_start = jax.vjp(lambda x, p: f(x, t, p), x, params)
        y = x + h / 2 * k
        _, at_middle = jax.vjp(lambda x, p: f(x, t + h / 2, p), y, params)
        y_bar, p1 = at_middle(h * x_bar)
        k_bar, p2 = at_start(h / 2 * y_bar)
        x_bar = x_bar + y_bar + k_bar
        total = jax.tree.map(lambda a, b, c: a + b + c, total, p1, p2)
    return x_bar, total
"""
LOOP = """# Exercise 6.4
PREDICTION = (4, 4)


def symplectic(f, states, t0, h, params, last_bar):
    loop = lambda x, p: midpoint_states(f, x, t0, h, len(states) - 1, p)[-1]
    return jax.vjp(loop, states[0], params)[1](last_bar)
"""
BY_LINEARIZE = """# Exercise 6.4
PREDICTION = 4.0, 4.0


def symplectic(f, states, t0, h, params, last_bar):
    times = t0 + h * jnp.arange(len(states) - 1)

    def back(bars, at):
        x, t = at
        k = f(x, t, params)
        pull = lambda x, t, b: jax.vjp(lambda x, p: f(x, t, p), x, params)[1](b)
        y_bar, first = pull(x + h / 2 * k, t + h / 2, h * bars[0])
        z_bar, second = pull(x, t, h * y_bar / 2)
        more = jax.tree.map(jnp.add, first, second)
        return (bars[0] + y_bar + z_bar, jax.tree.map(jnp.add, bars[1], more)), None

    start = last_bar, jax.tree.map(jnp.zeros_like, params)
    return jax.lax.scan(back, start, (states[:-1], times), reverse=True)[0]
"""
POOL = """# Exercise 6.5
PREDICTION = (1, 2 / 3, 2 / 3)


def line_infimum(x, y):
    x, y = np.asarray(x, float), np.asarray(y, float)
    places, label, size = np.unique(x, return_inverse=True, return_counts=True)
    target = np.bincount(label, y) / size
    blocks = [[t, s, 1] for t, s in zip(target, size)]
    k = 0
    while k < len(blocks) - 1:
        if blocks[k][0] > blocks[k + 1][0]:
            a, b = blocks[k], blocks.pop(k + 1)
            mean = (a[0] * a[1] + b[0] * b[1]) / (a[1] + b[1])
            blocks[k] = [mean, a[1] + b[1], a[2] + b[2]]
            k = max(k - 1, 0)
        else:
            k += 1
    best = np.concatenate([[m] * c for m, _, c in blocks])
    return np.mean((best[label] - y) ** 2)
"""
MIN_MAX = """# Exercise 6.5
PREDICTION = [1.0, 0.6667, 0.6667]


def line_infimum(x, y):
    x, y = np.asarray(x, float), np.asarray(y, float)
    u = np.unique(x)
    mean = lambda a, b: np.mean(y[(x >= a) & (x <= b)])
    best = {c: max(min(mean(a, b) for b in u[u >= c]) for a in u[u <= c]) for c in u}
    return float(np.mean([(best[float(a)] - float(b)) ** 2 for a, b in zip(x, y)]))
"""
FIRST = """def both(position, t, theta):
        q, w = position
        force, pull = jax.vjp(lambda q: a(q, t, theta), q)
        return force, pull(w)[0]

    return both"""
SECOND = """d = q.size
    joined = lambda x, t, _: jnp.concatenate([a(x[:d], t, x[d:]), jnp.zeros_like(theta)])
    pad = lambda x: jnp.concatenate([x, jnp.zeros_like(theta)])
    x, speed = nystrom(
        joined, jnp.concatenate([q, theta]), pad(v), 0.0, T, (), steps
    )
    start = (x, pad(v_bar)), (speed, -pad(q_bar))
    (_, w), (_, dw) = nystrom(adjoint_acceleration(joined), *start, T, 0.0, (), steps)
    return -dw[:d], w[:d], -dw[d:]"""
BY_JACOBIAN = """def both(position, t, theta):
        q, w = position
        return a(q, t, theta), w @ jax.jacrev(a)(q, t, theta)

    return both"""
IN_PIECES = """n = q.size

    def pair(z, t, _):
        return a(z[0], t, z[1]), 0 * z[1]

    def four(z, t, _):
        (x, p), (w, u) = z
        y, pull = jax.vjp(lambda z: pair(z, t, ()), (x, p))
        return y, pull((w, u))[0]

    z, dz = nystrom(pair, (q, theta), (v, 0 * theta), 0.0, T, (), steps)
    w, dw = (v_bar, 0 * theta), (-q_bar, 0 * theta)
    (_, w), (_, dw) = nystrom(four, (z, w), (dz, dw), T, 0.0, (), steps)
    return -dw[0], w[0], -dw[1]"""


def newton(first=FIRST, second=SECOND):
    return (
        f"# Exercise 6.6\ndef adjoint_acceleration(a):\n    {first}\n\n\n"
        f"def newton_gradient(a, q, v, T, theta, q_bar, v_bar, steps):\n    {second}\n"
    )


ANSWERS = {
    "6.1": {
        "right": {"plain": oscillator(), "by matrices": oscillator(MATRICES)},
        "wrong": {
            "by vjp": oscillator(BY_VJP),
            "not transposed": oscillator(
                SLOPES.replace("w**2 * vb, g * vb - qb", "-vb, w**2 * qb + g * vb")
            ),
            "sign of the adjoint": oscillator(
                SLOPES.replace("w**2 * vb, g * vb - qb", "-w**2 * vb, qb - g * vb")
            ),
            "damped forward": oscillator(SLOPES.replace("g * vb - qb", "-g * vb - qb")),
            "no two": oscillator(SLOPES.replace("2 * w * q", "w * q")),
            "sign of the parameters": oscillator(
                SLOPES.replace("2 * w * q * vb, v * vb", "-2 * w * q * vb, -v * vb")
            ),
            "without a name": oscillator("return state"),
        },
    },
    "6.2": {
        "right": {"dot": times(TIMES), "ravelled": times(RAVELLED)},
        "wrong": {
            "sign of t0": times(TIMES.replace("-dot(x_bar", "dot(x_bar")),
            "zeros": times("return x_bar, 0.0 * t0, 0.0 * t1, p_bar"),
            "ends exchanged": times(
                "return x_bar, -dot(bar, f(x1, t1, params)), dot(x_bar, f(x, t0, params)), p_bar"
            ),
            "only the duration": times(
                "d = dot(bar, f(x1, t1, params))\n    return x_bar, -d, d, p_bar"
            ),
            "time of the other end": times(
                TIMES.replace("f(x, t0", "f(x, t1").replace("f(x1, t1", "f(x1, t0")
            ),
            "adjoint not carried back": times(TIMES.replace("-dot(x_bar", "-dot(bar")),
        },
    },
    "6.3": {
        "right": {"newton": ball(), "rule": RULE},
        "wrong": {
            "no derivative": ball("return search(x0, params)"),
            "sign": ball(NEWTON.replace("t - q", "t + q")),
            "not divided": ball(NEWTON.replace(" / jax.lax.stop_gradient(v)", "")),
            "moment frozen": ball(
                height=BOUNCE.replace(
                    "t = impact_time(x0, params)",
                    "t = jax.lax.stop_gradient(impact_time(x0, params))",
                )
            ),
            "rest of the time frozen": ball(
                height=BOUNCE.replace("T - t,", "T - jax.lax.stop_gradient(t),")
            ),
            "state frozen": ball(
                height=BOUNCE.replace(
                    "v = fly(x0, t, params)[1]",
                    "v = fly(x0, jax.lax.stop_gradient(t), params)[1]",
                )
            ),
            "vacuum": ball(
                "g = params[0]\n    return (x0[1] + jnp.sqrt(x0[1]**2 + 2 * g * x0[0])) / g"
            ),
        },
    },
    "6.4": {
        "right": {"loop": MIDPOINT, "scan": BY_LINEARIZE},
        "wrong": {
            "prediction": MIDPOINT.replace("(4, 4)", "(8, 4)"),
            "half forgotten": MIDPOINT.replace("at_start(h / 2 * y_bar)", "at_start(h * y_bar)"),
            "start forgotten": MIDPOINT.replace("x_bar + y_bar + k_bar", "x_bar + y_bar"),
            "at the end": MIDPOINT.replace("states[n], t0", "states[n + 1], t0"),
            "times alike": MIDPOINT.replace("f(x, t + h / 2, p)", "f(x, t, p)"),
            "parameters once": MIDPOINT.replace("a + b + c", "a + b"),
            "through the loop": LOOP,
        },
    },
    "6.5": {
        "right": {"pool": POOL, "min max": MIN_MAX},
        "wrong": {
            "prediction zero": POOL.replace("(1, 2 / 3, 2 / 3)", "(0, 0, 0)"),
            "prediction sum": POOL.replace("(1, 2 / 3, 2 / 3)", "(2, 2, 2)"),
            "one pass": POOL.replace("k = max(k - 1, 0)", "k += 1"),
            "not sorted": POOL.replace(
                "np.unique(x, return_inverse=True, return_counts=True)",
                "x, np.arange(x.size), np.ones(x.size)",
            ),
            "unweighted": POOL.replace(
                "(a[0] * a[1] + b[0] * b[1]) / (a[1] + b[1])", "(a[0] + b[0]) / 2"
            ),
            "monotone by sorting": POOL.replace(
                "best = np.concatenate([[m] * c for m, _, c in blocks])", "best = np.sort(target)"
            ),
        },
    },
    "6.6": {
        "right": {"joined": newton(), "in pieces": newton(BY_JACOBIAN, IN_PIECES)},
        "wrong": {
            "not transposed": newton(
                BY_JACOBIAN.replace(
                    "w @ jax.jacrev(a)(q, t, theta)", "jax.jacrev(a)(q, t, theta) @ w"
                )
            ),
            "sign": newton(FIRST.replace("pull(w)[0]", "-pull(w)[0]")),
            "sign of the momentum": newton(second=SECOND.replace("-pad(q_bar)", "pad(q_bar)")),
            "exchanged": newton(
                second=SECOND.replace("return -dw[:d], w[:d]", "return w[:d], -dw[:d]")
            ),
            "position for velocity": newton(second=SECOND.replace("-dw[d:]", "w[d:]")),
            "sign of theta": newton(second=SECOND.replace("-dw[d:]", "dw[d:]")),
        },
    },
}
