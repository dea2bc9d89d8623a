"""Right and wrong answers to the exercises of chapter 13: each is the whole solution cell."""


def shift(body):
    return f"# Exercise 13.1\ndef controlled_shift(f, t):\n    {body}\n"


def four_terms(sign="-", divisor="(4*c)"):
    return shift(f"""c = np.sqrt(2)
    near = f(t + np.pi / 2) - f(t - np.pi / 2)
    far = f(t + 1.5 * np.pi) - f(t - 1.5 * np.pi)
    return ((c + 1) * near {sign} (c - 1) * far) / {divisor}""")


PLACE = "np.kron(np.kron(np.eye(2**q), sigma), np.eye(D // 2 ** (q + 1)))"
CHANNEL = """return (1 - p) * rho + p / 3 * sum(
        on_qubit(s, q, len(rho)) @ rho @ on_qubit(s, q, len(rho)) for s in PAULIS[1:])"""


def kick_with(k):
    return f"k = {k}\n    return on_qubit(PAULIS[k], q, len(psi)) @ psi"


KICK = kick_with("0 if u < 1 - p else 1 + min(2, int(3 * (u - 1 + p) / p))")


def noise(channel=CHANNEL, kick=KICK, place=PLACE):
    return f"""# Exercise 13.3
def on_qubit(sigma, q, D):
    return {place}


def depolarise(rho, p, q):
    {channel}


def kick(psi, p, q, u):
    {kick}
"""


GENERAL = """def general_shift(f, t, R):
    mu = np.arange(1, 2 * R + 1)
    points = (2 * mu - 1) * np.pi / (2 * R)
    weights = (-1.0) ** (mu - 1) / (4 * R * np.sin(points / 2) ** 2)
    return jnp.asarray(weights) @ jax.vmap(f)(t + points)


"""

GATE = "jnp.exp(0.5j * t) * (jnp.cos(t) * psi - 1j * jnp.sin(t) * psi.swapaxes(0, 1))"


def bond(
    gate=GATE,
    kept="(t, out)",
    back="",
    slope="jnp.vdot(lam, 2 * out.swapaxes(0, 1) - out).imag / 2",
    bar="bond(-t, lam).conj()",
    names="t, out",
):
    return f"""# Exercise 13.2
@jax.custom_vjp
def bond(t, psi):
    return {gate}


def bond_fwd(t, psi):
    out = bond(t, psi)
    return out, {kept}


def bond_bwd(residuals, cotangent):
    {names} = residuals
    lam = cotangent.conj()
    {back}
    return {slope}, {bar}


bond.defvjp(bond_fwd, bond_bwd)
"""


PREDICTED = "return 3 * n * 4.0**n / (2 * (4.0**n - 1) * (2.0**n + 1))"
SLOPES = """d = (thetas.shape[1] // n - 1) // 3
    gradients = jax.vmap(jax.grad(lambda t: expectation(t, n)))(jnp.asarray(thetas))
    begin = n * (3 * (d // 2) - 1)
    return float(jnp.mean(gradients[:, begin : begin + 3 * n] ** 2))"""


def plateau(predicted=PREDICTED, factor="return predicted(3) / predicted(6)", slopes=SLOPES):
    return f"""# Exercise 13.4
def predicted(n):
    {predicted}


def prediction():
    {factor}


def middle_slopes(thetas, n):
    {slopes}
"""


RUN = """return jax.lax.fori_loop(0, d, lambda _, x: ring(rotate(x, *theta)), psi)"""
BACK = """theta, psi = residuals

    def unlayer(_, carry):
        psi, bar, total = carry
        psi, bar, slopes = undo_block(unring(psi), unring(bar), *theta)
        return psi, bar, total + slopes

    start = (psi, cotangent, jnp.zeros_like(theta))
    _, bar, total = jax.lax.fori_loop(0, d, unlayer, start)
    return total, bar"""


def shared(run=RUN, back=BACK):
    return f"""# Exercise 13.5
def shared(theta, psi, d):
    {run}


def shared_bwd(d, residuals, cotangent):
    {back}
"""


ANSWERS = {
    "13.1": {
        "right": {
            "solved coefficients": shift("""a = np.pi / 2
    M = 2 * np.array([[np.sin(w * s) for s in (a, 3 * a)] for w in (0.5, 1)])
    c = np.linalg.solve(M, [0.5, 1])
    return sum(ck * (f(t + s) - f(t - s)) for ck, s in zip(c, (a, 3 * a)))"""),
            "general rule for R = 2 in t/2": shift("""mu = np.arange(1, 5)
    x = (2 * mu - 1) * np.pi / 4
    weights = [(-1) ** (m - 1) / (8 * np.sin(y / 2) ** 2) for m, y in zip(mu, x)]
    return 0.5 * sum(w * f(t + 2 * y) for w, y in zip(weights, x))"""),
            "the chapter's general_shift": GENERAL
            + shift("return general_shift(lambda u: f(2 * u), t / 2, 2) / 2"),
        },
        "wrong": {
            "two terms": shift("return (f(t + np.pi / 2) - f(t - np.pi / 2)) / 2"),
            "plus between the pairs": four_terms(sign="+"),
            "factor two": four_terms(divisor="(2*c)"),
            "sign": four_terms(divisor="(-4*c)"),
            "finite differences": shift("return (f(t + 1e-2) - f(t - 1e-2)) / 2e-2"),
            "finite differences of fourth order": shift("""h = 1e-3
    return (f(t - 2 * h) - 8 * f(t - h) + 8 * f(t + h) - f(t + 2 * h)) / (12 * h)"""),
            "general_shift of degree 1": GENERAL + shift("return general_shift(f, t, 1)"),
            "general_shift of too high a degree": GENERAL
            + shift("return general_shift(lambda u: f(2 * u), t / 2, 3) / 2"),
            "general_shift without the chain rule": GENERAL
            + shift("return general_shift(lambda u: f(2 * u), t / 2, 2)"),
            "hard-coded": shift("return 0.324891"),
            "jax.grad, which hardware has not": shift("return jax.grad(f)(t)"),
            "shifted from 0": four_terms().replace("f(t ", "f("),
        },
    },
    "13.2": {
        "right": {
            "slope before the gate": bond(
                back="before, lam = bond(-t, out), bond(-t, lam)",
                slope="jnp.real(jnp.vdot(lam, -0.5j * (2 * before.swapaxes(0, 1) - before)))",
                bar="lam.conj()",
            ),
            "matrix, and its transpose": bond(
                gate="(unitary(t) @ psi.reshape(4, -1)).reshape(psi.shape)",
                slope="jnp.sum(cotangent.reshape(4, -1) * (-0.5j * M @ out.reshape(4, -1))).real",
                bar="(unitary(t).T @ cotangent.reshape(4, -1)).reshape(out.shape)",
            ).replace(
                "# Exercise 13.2\n",
                "# Exercise 13.2\nM = sum(np.kron(s, s) for s in PAULIS[1:])\n"
                "def unitary(t):\n    return jax.scipy.linalg.expm(-0.5j * t * M)\n\n\n",
            ),
        },
        "wrong": {
            "no phase": bond(gate=GATE.replace("jnp.exp(0.5j * t) * ", "")),
            "sign of t": bond(gate=GATE.replace("- 1j", "+ 1j").replace("0.5j", "-0.5j")),
            "half angles": bond(gate=GATE.replace("(t)", "(t / 2)")),
            "not unitary": bond(gate=GATE.replace("- 1j *", "-")),
            "stores the state before": bond(
                kept="(t, psi)", names="t, before", back="out = bond(t, before)"
            ),
            "stores both": bond(kept="(t, out, psi)", names="t, out, _"),
            "stores the state before, flat": bond(
                kept="(t, psi.reshape(-1))",
                names="t, flat",
                back="out = bond(t, flat.reshape(cotangent.shape))",
            ),
            "stores the state before, axes swapped": bond(
                kept="(t, psi.swapaxes(0, 1))",
                names="t, before",
                back="out = bond(t, before.swapaxes(0, 1))",
            ),
            "stores the state before, conjugated": bond(
                kept="(t, psi.conj())", names="t, before", back="out = bond(t, before.conj())"
            ),
            "stores the state before, split": bond(
                kept="(t, psi.real, psi.imag)",
                names="t, x, y",
                back="out = bond(t, x + 1j * y)",
            ),
            "stores the state before, last axis first": bond(
                kept="(t, jnp.moveaxis(psi, 2, 0))",
                names="t, before",
                back="out = bond(t, jnp.moveaxis(before, 0, 2))",
            ),
            "stores the state before in a global name": bond(back="out = bond(t, KEPT[-1])")
            .replace("    out = bond(t, psi)\n", "    KEPT.append(psi)\n    out = bond(t, psi)\n")
            .replace("# Exercise 13.2\n", "# Exercise 13.2\nKEPT = []\n\n\n"),
            "conjugate missing": bond(back="lam = cotangent"),
            "conjugate at one end": bond(bar="bond(-t, lam)"),
            "turned forward": bond(bar="bond(t, lam).conj()"),
            "not turned": bond(bar="cotangent"),
            "factor two": bond(slope="jnp.vdot(lam, 2 * out.swapaxes(0, 1) - out).imag"),
            "real part": bond(slope="jnp.vdot(lam, 2 * out.swapaxes(0, 1) - out).real / 2"),
            "SWAP for B": bond(slope="jnp.vdot(lam, out.swapaxes(0, 1)).imag"),
            "sign of the slope": bond(
                slope="-jnp.vdot(lam, 2 * out.swapaxes(0, 1) - out).imag / 2"
            ),
            "one state before, one after": bond(
                slope="jnp.vdot(lam, 2 * bond(-t, out).swapaxes(0, 1) - bond(-t, out)).imag / 2"
            ),
        },
    },
    "13.3": {
        "right": {
            "partial trace": noise("""n = len(rho).bit_length() - 1
    T = rho.reshape(2**q, 2, -1, 2**q, 2, 2**(n - 1 - q))
    mixed = np.einsum("aibcid,xy->axbcyd", T, np.eye(2) / 2).reshape(rho.shape)
    return (1 - 4 * p / 3) * rho + 4 * p / 3 * mixed"""),
            "first the Paulis": noise(kick=kick_with("min(3, 1 + int(3 * u / p)) if u < p else 0")),
        },
        "wrong": {
            "p for each": noise(CHANNEL.replace("p / 3", "p")),
            "p over four": noise(CHANNEL.replace("p / 3", "p / 4").replace("PAULIS[1:]", "PAULIS")),
            "last qubit first": noise(
                place="np.kron(np.kron(np.eye(D // 2 ** (q + 1)), sigma), np.eye(2**q))"
            ),
            "kept with probability p": noise(kick=KICK.replace("u < 1 - p", "u < p")),
            "never Y": noise(kick=kick_with("0 if u < 1 - p else 1 if u < 1 - p / 2 else 3")),
            "three qubits": noise(
                place="np.kron(np.kron(np.eye(2**q), sigma), np.eye(2 ** (2 - q)))"
            ),
            "one strength": noise(
                kick=KICK.replace("u < 1 - p", "u < 0.7").replace(
                    "3 * (u - 1 + p) / p", "10 * (u - 0.7)"
                )
            ),
            "weighted state": noise(kick=KICK.replace("return ", "return np.sqrt(1 - p) * ")),
            "no noise": noise(kick="return psi"),
        },
    },
    "13.4": {
        "right": {
            "a number, and the powers cancelled": plateau(
                "return 1.5 * n / ((1 - 4.0**-n) * (2.0**n + 1))", "return 3.668"
            ),
            "a loop over rows": plateau(
                slopes="""d = (len(thetas[0]) // n - 1) // 3
    slope = jax.jit(jax.grad(expectation), static_argnums=1)
    total = 0.0
    for t in thetas[:]:
        g = np.asarray(slope(jnp.asarray(t), n))[2 * n + 3 * n * (d // 2 - 1) :][: 3 * n]
        total += (g**2).sum()
    return total / (3 * n * len(thetas))"""
            ),
        },
        "wrong": {
            "one term for each bond": plateau(PREDICTED.replace("3 * n", "n")),
            "trace without D": plateau(PREDICTED.replace("4.0**n /", "2.0**n /")),
            "factor two": plateau(PREDICTED.replace("(2 *", "(")),
            "global cost": plateau("return 1 / (2 * (2.0**n + 1) ** 2)"),
            "a matrix": plateau("""D = 2**n
    H = jax.vmap(heisenberg)(jnp.eye(D))
    return D * jnp.sum(H**2) / (2 * (D**2 - 1) * (D + 1))""").replace(
                "2**n\n", "2**n if n < 12 else 0\n"
            ),
            "eight times": plateau(factor="return 8.0"),
            "the other way round": plateau(factor="return predicted(6) / predicted(3)"),
            "root mean square": plateau(factor="return np.sqrt(predicted(3) / predicted(6))"),
            "block one too early": plateau(
                slopes=SLOPES.replace("(d // 2) - 1", "(d // 2 - 1) - 1")
            ),
            "all angles": plateau(slopes=SLOPES.replace("[:, begin : begin + 3 * n]", "")),
            "every block has 3n angles": plateau(
                slopes=SLOPES.replace("n * (3 * (d // 2) - 1)", "3 * n * (d // 2)")
            ),
            "mean before the square": plateau(
                slopes=SLOPES.replace(
                    "jnp.mean(gradients[:, begin : begin + 3 * n] ** 2)",
                    "jnp.mean(jnp.mean(gradients[:, begin : begin + 3 * n], axis=0) ** 2)",
                )
            ),
            "first row": plateau(slopes=SLOPES.replace("(gradients[:,", "(gradients[0,")),
        },
    },
    "13.5": {
        "right": {
            "scan": shared(
                "layer = lambda x, _: (ring(rotate(x, *theta)), None)\n"
                "    return jax.lax.scan(layer, psi, length=d)[0]"
            ),
            "vjp of a layer": shared(
                back="""theta, psi = residuals

    def unlayer(_, carry):
        psi, bar, total = carry
        a, b, c = theta
        psi = rotate(unring(psi), -c, -b, -a)
        _, pull = jax.vjp(lambda t, x: ring(rotate(x, *t)), theta, psi)
        slopes, bar = pull(bar)
        return psi, bar, total + slopes

    start = (psi, cotangent, jnp.zeros_like(theta))
    return jax.lax.fori_loop(0, d, unlayer, start)[:0:-1]"""
            ),
        },
        "wrong": {
            "psi's cotangent first": shared(
                back=BACK.replace("return total, bar", "return bar, total")
            ),
            "last layer only": shared(back=BACK.replace("total + slopes", "slopes")),
            "ring forgotten on the way back": shared(
                back=BACK.replace("unring(psi), unring(bar)", "psi, bar")
            ),
            "ring instead of its inverse": shared(back=BACK.replace("unring", "ring")),
            "ring before the block": shared(
                RUN.replace("ring(rotate(x, *theta))", "rotate(ring(x), *theta)")
            ),
            "conjugated": shared(back=BACK.replace("psi, cotangent,", "psi, cotangent.conj(),")),
            "one layer too few": shared(back=BACK.replace("(0, d,", "(1, d,")),
            "mean instead of sum": shared(back=BACK.replace("return total,", "return total / d,")),
            "recomputes and lets JAX store": shared(
                back="""theta, out = residuals
    a, b, c = theta
    undo = lambda _, x: rotate(unring(x), -c, -b, -a)
    first = jax.lax.fori_loop(0, d, undo, out)
    layer = lambda _, x: (lambda t: ring(rotate(x[1], *t)))(x[0])
    run = lambda t, x: jax.lax.fori_loop(0, d, lambda _, x: ring(rotate(x, *t)), x)
    return jax.vjp(run, theta, first)[1](cotangent)"""
            ),
        },
    },
}
