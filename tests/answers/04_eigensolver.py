"""Right and wrong answers to the exercises of chapter 4: each is the whole solution cell."""

FEYNMAN = (
    "u = jnp.linalg.eigh(H(theta))[1][:, k]\n"
    "    return jnp.array([(u.conj() @ D @ u).real "
    "for D in jnp.moveaxis(jax.jacfwd(H)(theta), 2, 0)])"
)
THIRD = (
    "F = V @ psi\n"
    "    E1 = psi @ F\n"
    "    b = E1 * psi - F\n"
    "    op = lambda v: matvec(v) - E * v + 3 * psi * (psi @ v)\n"
    "    x = jax.scipy.sparse.linalg.cg(op, b, tol=1e-8)[0]\n"
    "    x = x - psi * (psi @ x)\n"
    "    return 6 * (x @ V @ x - E1 * (x @ x))"
)
PROJECTED = (
    "Q = lambda v: v - psi * (psi @ v)\n"
    "    b = -Q(V @ psi)\n"
    "    x, r = 0 * b, b\n"
    "    p, q = r, r @ r\n"
    "    for _ in range(60):\n"
    "        Ap = Q(matvec(p) - E * p)\n"
    "        a = q / (p @ Ap)\n"
    "        x, r = x + a * p, Q(r - a * Ap)\n"
    "        new = r @ r\n"
    "        p, q = r + new / q * p, new\n"
    "        if q < 1e-16 * (b @ b):\n"
    "            break\n"
    "    return 6 * (x @ V @ x - (psi @ V @ psi) * (x @ x))"
)
SINGULAR = THIRD.replace(" + 3 * psi * (psi @ v)", "")
EIGHTH = (
    "w = ((1, 4 / 5), (2, -1 / 5), (3, 4 / 105), (4, -1 / 280))\n"
    "    level = lambda t: np.linalg.eigvalsh(H(t))[k]\n"
    "    odd = lambda e, h: sum(c * (level(theta + m * h * e) - level(theta - m * h * e)) "
    "for m, c in w) / h\n"
    "    return np.array([odd(e, 3e-4) for e in np.eye(len(theta))])"
)


def feynman(body=FEYNMAN, third=THIRD):
    return (
        f"# Exercise 4.1\ndef energy_gradient(H, theta, k):\n    {body}\n\n\n"
        f"def third_order(matvec, V, E, psi):\n    {third}\n"
    )


def by_solver(name):
    """The linear solve by another of JAX's solvers."""
    call = f"jax.scipy.sparse.linalg.{name}(op, b, tol=1e-8)"
    return THIRD.replace("jax.scipy.sparse.linalg.cg(op, b, tol=1e-8)", call)


REVERSE = (
    "n = len(d)\n"
    "    F = jnp.where(jnp.eye(n, dtype=bool), 0, 1 / (d[None] - d[:, None] + jnp.eye(n)))\n"
    "    Uh = U.conj().T\n"
    "    X = Uh @ U_bar\n"
    "    S = jnp.diag(d_bar) + F * X\n"
    "    R = -S * d[None, :] - jnp.diag(jnp.diagonal(X).real) / 2\n"
    "    half = lambda G: (G + G.conj().T) / 2\n"
    "    return half(U @ S @ Uh), half(U @ R @ Uh)"
)
PAIRS = (
    "n = len(d)\n"
    "    A = jnp.zeros((n, n)) + 0 * U\n"
    "    B = A\n"
    "    for j in range(n):\n"
    "        u = U[:, j]\n"
    "        same = jnp.outer(u, u.conj())\n"
    "        x = jnp.real(jnp.vdot(u, U_bar[:, j]))\n"
    "        A = A + d_bar[j] * same\n"
    "        B = B - (d[j] * d_bar[j] + x / 2) * same\n"
    "        for i in range(n):\n"
    "            if i != j:\n"
    "                c = jnp.vdot(U[:, i], U_bar[:, j]) / (d[j] - d[i])\n"
    "                A = A + c * jnp.outer(U[:, i], u.conj())\n"
    "                B = B - d[j] * c * jnp.outer(U[:, i], u.conj())\n"
    "    return (A + A.conj().T) / 2, (B + B.conj().T) / 2"
)


def reverse(body):
    return f"# Exercise 4.2\ndef generalised_reverse(d, U, d_bar, U_bar):\n    {body}\n"


RESPONSE = "return jax.grad(lambda p: loss(U @ jnp.diag(jnp.exp(1j * p))))(jnp.zeros(len(U)))"
FIX = (
    "m = jnp.abs(U) == jnp.max(jnp.abs(U), axis=0)\n"
    "    z = jnp.sum(jnp.where(m, U, 0), axis=0)\n"
    "    return U * jnp.exp(-1j * jnp.angle(z))"
)
PIVOT = "z = U[jnp.argmax(jnp.abs(U), axis=0), jnp.arange(len(U))]\n    "


def phases(response=RESPONSE, fix=FIX):
    return (
        f"# Exercise 4.3\ndef phase_response(loss, U):\n    {response}\n\n\n"
        f"def fix_phases(U):\n    {fix}\n"
    )


DIFFERENCES = (
    "f = lambda j, h: loss(U * jnp.exp(1j * h * (jnp.arange(len(U)) == j)))\n"
    "    w = ((1, 4 / 5), (2, -1 / 5), (3, 4 / 105), (4, -1 / 280))\n"
    "    return jnp.array([sum(c * (f(j, m * 1e-2) - f(j, -m * 1e-2)) for m, c in w) / 1e-2 "
    "for j in range(len(U))])"
)

QUARTERS = (
    "f = lambda j, a: loss(U * jnp.exp(1j * a * (jnp.arange(len(U)) == j)))\n"
    "    q = jnp.pi / 4\n"
    "    return jnp.array([f(j, q) - f(j, -q) for j in range(len(U))])"
)
HARMONICS = (
    "f = lambda j, a: loss(U * jnp.exp(1j * a * (jnp.arange(len(U)) == j)))\n"
    "    angles = jnp.pi * (2 * jnp.arange(6) + 1) / 6\n"
    "    signs = jnp.array([1, -1, 1, -1, 1, -1]) / (12 * jnp.sin(angles / 2) ** 2)\n"
    "    return jnp.array([sum(s * f(j, a) for s, a in zip(signs, angles)) "
    "for j in range(len(U))])"
)

SPLIT = "u = jnp.linalg.eigh(A)[1][:, k:k + m]\n    return jnp.linalg.eigh(u.T @ V @ u)[0]"
CURVED = (
    "d, U = np.linalg.eigh(A)\n"
    "    V = np.asarray(V)\n"
    "    I = U[:, k:k + m]\n"
    "    s, T = np.linalg.eigh(I.T @ V @ I)\n"
    "    E = d[k:k + m].mean()\n"
    "    P = I @ I.T\n"
    "    n = len(d)\n"
    "    G = np.linalg.inv(E * np.eye(n) - A + (1 + abs(E)) * P) @ (np.eye(n) - P)\n"
    "    W = I.T @ V @ G @ V @ I\n"
    "    W = (W + W.T) / 2\n"
    "    if np.ptp(s) < 1e-7:\n"
    "        return 2 * np.linalg.eigvalsh(W)\n"
    "    return 2 * np.diag(T.T @ W @ T)"
)
LOOPED = (
    "d, U = jnp.linalg.eigh(A)\n"
    "    B = list(range(k, k + m))\n"
    "    s, T = jnp.linalg.eigh(U[:, k:k + m].T @ V @ U[:, k:k + m])\n"
    "    def w(x, y):\n"
    "        return sum((x @ V @ U[:, a]) * (U[:, a] @ V @ y) / (d[k] - d[a])"
    " for a in range(len(d)) if a not in B)\n"
    "    X = [U[:, k:k + m] @ T[:, i] for i in range(m)]\n"
    "    W = jnp.array([[w(x, y) for y in X] for x in X])\n"
    "    same = s[-1] - s[0] < 1e-6\n"
    "    return 2 * (jnp.linalg.eigvalsh(W) if same else jnp.diag(W))"
)
BROADENED = (
    "def level(i):\n"
    "        def f(t):\n"
    "            return make_eigh(lambda d: (d - d[:, None]) / ((d - d[:, None]) ** 2 + 1e-12))"
    "(A + t * V)[0][i]\n"
    "        return jax.jvp(lambda t: jax.jvp(f, (t,), (1.0,))[1], (0.0,), (1.0,))[1]\n"
    "    return jnp.array([level(i) for i in range(k, k + m)])"
)
MOVED = (
    "h = 1e-2\n"
    "    at = [np.linalg.eigvalsh(A + t * h * V)[k:k + m] for t in range(6)]\n"
    "    c = (-137 / 60, 5, -5, 10 / 3, -5 / 4, 1 / 5)\n"
    "    return sum(x * y for x, y in zip(c, at)) / h"
)


LEVELS = (
    "h = 1e-2\n"
    "    w = np.array([4 / 5, -1 / 5, 4 / 105, -1 / 280])\n"
    "    t = h * np.arange(1, 5)\n"
    "    right, left = (np.array([levels(s * x) for x in t]) for s in (1, -1))\n"
    "    return w @ (right - left[:, ::-1]) / h"
)
PLACED = {
    "by scipy": "import scipy.linalg\n"
    "    levels = lambda t: scipy.linalg.eigvalsh(A + t * V)[k:k + m]\n    " + LEVELS,
    "compiled": "whole = jax.jit(lambda t: jnp.linalg.eigvalsh(A + t * V))\n"
    "    levels = lambda t: whole(t)[k:k + m]\n    " + LEVELS,
    "of a stack": "stack = lambda t: A + np.reshape(t, (1, 1, 1)) * V\n"
    "    levels = lambda t: np.linalg.eigvalsh(stack(t))[0, k:k + m]\n    " + LEVELS,
    "by vmap": "whole = jax.vmap(lambda t: jnp.linalg.eigvalsh(A + t * V))\n"
    "    levels = lambda t: whole(jnp.array([t]))[0, k:k + m]\n    " + LEVELS,
}


def degenerate(split=SPLIT, curved=CURVED):
    return (
        f"# Exercise 4.4\ndef split_levels(A, V, k, m):\n    {split}\n\n\n"
        f"def level_curvatures(A, V, k, m):\n    {curved}\n"
    )


GAPS = "return np.array([0.5, 1.5] * (N // 2))[: N - 1]"
SPLITTER = (
    "levels = np.cumsum(np.append(0, half_gaps(N)))\n"
    "    return engineer(levels - levels.mean())[-1]"
)
DESCENT = (
    "import scipy.optimize\n"
    "    levels = np.cumsum(np.append(0, half_gaps(N)))\n"
    "    levels = levels - levels.mean()\n"
    "    full = lambda c: np.append(c, c[: (N - 1) // 2][::-1])\n"
    "    matrix = lambda J: np.diag(J, 1) + np.diag(J, -1)\n"
    "    miss = lambda c: np.linalg.eigvalsh(matrix(full(c))) - levels\n"
    "    start = np.full(N // 2, levels[-1] / 2)\n"
    "    return full(scipy.optimize.least_squares(miss, start, xtol=1e-15, ftol=1e-15, "
    "gtol=1e-15).x)"
)


def half(gaps=GAPS, splitter=SPLITTER):
    return f"# Exercise 4.5\ndef half_gaps(N):\n    {gaps}\n\n\ndef splitter(N):\n    {splitter}\n"


TOP = """# Exercise 4.6
@jax.custom_jvp
def top_singular(A):
    v = power(A)
    s = jnp.linalg.norm(A @ v)
    return A @ v / s, s, v


def power(A):
    step = lambda v, _: (unit(A.T @ (A @ v)), None)
    return jax.lax.scan(step, jnp.cos(jnp.arange(A.shape[1])), None, length=300)[0]


def unit(v):
    return v / jnp.linalg.norm(v)


@top_singular.defjvp
def _rule(primals, tangents):
    A, D = primals[0], tangents[0]
    u, s, v = top_singular(A)
    e, f = D @ v, D.T @ u
    e, f = e - u * (u @ e), f - v * (v @ f)
    op = lambda v_: s * s * v_ - A.T @ (A @ v_) + s * s * v * (v @ v_)
    solve = lambda g, b: jax.scipy.sparse.linalg.cg(g, b, tol=1e-14)[0]
    dv = jax.lax.custom_linear_solve(op, s * f + A.T @ e, solve, symmetric=True)
    dv = dv - v * (v @ dv)
    du = (e + A @ dv) / s
    return (u, s, v), (du - u * (u @ du), u @ D @ v, dv)
"""
DENSE = TOP.replace(
    "dv = jax.lax.custom_linear_solve(op, s * f + A.T @ e, solve, symmetric=True)",
    "dv = jnp.linalg.solve(s * s * (jnp.eye(len(v)) + jnp.outer(v, v)) - A.T @ A, s * f + A.T @ e)",
)
BY_QR = TOP.replace(
    "step = lambda v, _: (unit(A.T @ (A @ v)), None)\n"
    "    return jax.lax.scan(step, jnp.cos(jnp.arange(A.shape[1])), None, length=300)[0]",
    "step = lambda Q, _: (jnp.linalg.qr(A.T @ (A @ Q))[0], None)\n"
    "    return jax.lax.scan(step, jnp.eye(A.shape[1]), None, length=300)[0][:, 0]",
)
PLAIN = """# Exercise 4.6
def top_singular(A):
    step = lambda _, v: A.T @ (A @ v) / jnp.linalg.norm(A.T @ (A @ v))
    v = jax.lax.fori_loop(0, 400, step, jnp.cos(jnp.arange(A.shape[1] * 1.0)))
    s = jnp.linalg.norm(A @ v)
    return A @ v / s, s, v
"""
INNER = (
    PLAIN.replace("def top_singular", "def plain")
    + """

@jax.custom_jvp
def top_singular(A):
    return plain(A)


@top_singular.defjvp
def _rule(primals, tangents):
    return jax.jvp(plain, primals, tangents)
"""
)

ANSWERS = {
    "4.1": {
        "right": {
            "a loop over parameters": feynman(),
            "gradient of the expectation with the state held": feynman(
                "psi = jax.lax.stop_gradient(jnp.linalg.eigh(H(theta))[1][:, k])\n"
                "    return jax.grad(lambda t: jnp.vdot(psi, H(t) @ psi).real)(theta)",
                by_solver("gmres"),
            ),
            "linearize": feynman(
                "value, push = jax.linearize(H, theta)\n"
                "    u = jnp.linalg.eigh(value)[1][:, k]\n"
                "    return jnp.array([(u.conj() @ push(e) @ u).real "
                "for e in jnp.eye(len(theta))])",
                by_solver("bicgstab"),
            ),
            "jacfwd with the matrix as auxiliary": feynman(
                "D, value = jax.jacfwd(lambda t: (H(t),) * 2, has_aux=True)(theta)\n"
                "    u = np.linalg.eigh(value)[1][:, k]\n"
                "    return np.einsum('i,ija,j->a', u.conj(), D, u).real",
                PROJECTED,
            ),
        },
        "wrong": {
            "no conjugate": feynman(FEYNMAN.replace("u.conj()", "u")),
            "row instead of column": feynman(FEYNMAN.replace("[:, k]", "[k]")),
            "always the ground state": feynman(FEYNMAN.replace("[:, k]", "[:, 0]")),
            "complex result": feynman(FEYNMAN.replace(".real", " + 0j")),
            "factor two": feynman(FEYNMAN.replace("return ", "return 2 * ")),
            "two parameters alone": feynman(FEYNMAN + "[:2]"),
            "eigensolver differentiated": feynman(
                "return jax.grad(lambda t: jnp.linalg.eigvalsh(H(t))[k])(theta)"
            ),
            "the chapter's eigensolver differentiated": feynman(
                "return jax.grad(lambda t: eigh(H(t))[0][k])(theta)"
            ),
            "eigvals differentiated": feynman(
                "return jax.grad(lambda t: jnp.sort(jnp.linalg.eigvals(H(t)).real)[k])(theta)"
            ),
            "lax's eigh differentiated": feynman(
                "return jax.grad(lambda t: jax.lax.linalg.eigh(H(t))[1][k])(theta)"
            ),
            "the chapter's low_space differentiated": feynman(
                "total = lambda t, j: jnp.trace(low_space(H(t), j)[0]).real if j else 0\n"
                "    return jax.grad(lambda t: total(t, k + 1) - total(t, k))(theta)"
            ),
            "differences of eighth order": feynman(EIGHTH),
            "hard-coded": feynman("return np.array([0.5, -0.5])"),
            "third: singular operator": feynman(third=SINGULAR),
            "third: sign of the right-hand side": feynman(third=THIRD.replace("6 * (", "-6 * (")),
            "third: second-order energy": feynman(
                third=THIRD[: THIRD.index("return")] + "return 2 * F @ x"
            ),
            "third: no factor 6": feynman(third=THIRD.replace("6 * (", "(")),
            "third: E' not subtracted": feynman(third=THIRD.replace(" - E1 * (x @ x)", "")),
            "third: not projected": feynman(
                third=THIRD.replace("b = E1 * psi - F", "b = -F").replace(
                    "x = x - psi * (psi @ x)\n    ", ""
                )
            ),
            "third: the matrix formed": feynman(
                third="H = jnp.stack([matvec(e) for e in jnp.eye(len(psi))])\n    "
                + THIRD.replace("matvec(v)", "H @ v")
            ),
            "third: products by vmap": feynman(
                third="H = jax.vmap(matvec)(jnp.eye(len(psi)))\n    "
                + THIRD.replace("matvec(v)", "H @ v")
            ),
            "third: few iterations": feynman(
                third=THIRD.replace("tol=1e-8", "tol=1e-8, maxiter=2")
            ),
        },
    },
    "4.2": {
        "right": {
            "by formula": reverse(REVERSE),
            "by loops over pairs": reverse(PAIRS),
        },
        "wrong": {
            "sign of F": reverse(REVERSE.replace("d[None] - d[:, None]", "d[:, None] - d[None]")),
            "no Hermitian part": reverse(REVERSE.replace("(G + G.conj().T) / 2", "G")),
            "twice the Hermitian part": reverse(
                REVERSE.replace("(G + G.conj().T) / 2", "G + G.conj().T")
            ),
            "transpose for dagger": reverse(REVERSE.replace("Uh = U.conj().T", "Uh = U.T")),
            "the ordinary rule": reverse(
                REVERSE.replace("half(U @ R @ Uh)", "0 * half(U @ R @ Uh)")
            ),
            "the norm forgotten": reverse(
                REVERSE.replace(" - jnp.diag(jnp.diagonal(X).real) / 2", "")
            ),
            "the norm twice": reverse(
                REVERSE.replace("jnp.diagonal(X).real) / 2", "jnp.diagonal(X).real)")
            ),
            "the other level beside dB": reverse(
                REVERSE.replace("S * d[None, :]", "S * d[:, None]")
            ),
            "sign of the adjoint of B": reverse(
                REVERSE.replace("R = -S", "R = S").replace("- jnp.diag(jnp", "+ jnp.diag(jnp")
            ),
            "eigenvalues forgotten": reverse(REVERSE.replace("jnp.diag(d_bar) + ", "")),
            "hard-coded": reverse("return jnp.eye(len(d)), jnp.eye(len(d))"),
        },
    },
    "4.3": {
        "right": {
            "diagonal matrix and mask": phases(),
            "from the complex gradient": phases(
                "g = jax.grad(loss)(U)\n    return -jnp.sum((g * U).imag, axis=0)",
                "rows = jnp.argmax(jnp.abs(U), axis=0)[None]\n"
                "    z = jnp.take_along_axis(U, rows, axis=0)\n"
                "    return U * z.conj() / jnp.abs(z)",
            ),
        },
        "wrong": {
            "rows instead of columns": phases(
                "return jax.grad(lambda p: loss(U * jnp.exp(1j * p)[:, None]))(jnp.zeros(len(U)))"
            ),
            "sign": phases(
                "return -jax.grad(lambda p: loss(U * jnp.exp(1j * p)))(jnp.zeros(len(U)))"
            ),
            "differences of eighth order": phases(DIFFERENCES),
            "quarter turns": phases(QUARTERS),
            "differences of a trigonometric polynomial": phases(HARMONICS),
            "five columns": phases(
                "return jax.grad(lambda p: loss(U * jnp.exp(1j * p)))(jnp.zeros(5))"
            ),
            "always zero": phases("return jnp.zeros(len(U))"),
            "phase multiplied": phases(fix=PIVOT + "return U * z / jnp.abs(z)"),
            "first entry": phases(fix="return U * jnp.exp(-1j * jnp.angle(U[0]))"),
            "entry of largest real part": phases(
                fix="z = U[jnp.argmax(jnp.abs(U.real), axis=0), jnp.arange(len(U))]\n"
                "    return U * jnp.exp(-1j * jnp.angle(z))"
            ),
            "phase by sign": phases(fix=PIVOT + "return U / jnp.sign(z)"),
            "modulus of all": phases(fix="return jnp.abs(U) + 0j"),
            "divided by the entry": phases(fix=PIVOT + "return U / z"),
            "phase detached": phases(
                fix=PIVOT + "return U * jax.lax.stop_gradient(jnp.abs(z) / z)"
            ),
        },
    },
    "4.4": {
        "right": {
            "by a resolvent": degenerate(),
            "loops over pairs": degenerate(curved=LOOPED),
        },
        "wrong": {
            "diagonal elements": degenerate(
                split=SPLIT.replace(
                    "return jnp.linalg.eigh(u.T @ V @ u)[0]",
                    "return jnp.sort(jnp.diag(u.T @ V @ u))",
                )
            ),
            "eigenvalues of all of V": degenerate(split="return jnp.linalg.eigvalsh(V)[k:k + m]"),
            "mean slope": degenerate(
                split=SPLIT.replace(
                    "return jnp.linalg.eigh(u.T @ V @ u)[0]",
                    "return jnp.full(m, jnp.trace(u.T @ V @ u) / m)",
                )
            ),
            "differences of fifth order": degenerate(split=MOVED),
            **{f"differences, {how}": degenerate(split=PLACED[how]) for how in PLACED},
            "slopes of the lowest levels": degenerate(split=SPLIT.replace("k:k + m", ":m")),
            "curvatures of the lowest levels": degenerate(
                curved=CURVED.replace("d, U =", "k = 0\n    d, U =")
            ),
            "sign": degenerate(curved=CURVED.replace("return 2 *", "return -2 *")),
            "factor two missing": degenerate(curved=CURVED.replace("return 2 *", "return")),
            "in LAPACK's basis": degenerate(curved=CURVED.replace("T.T @ W @ T", "W")),
            "eigenvalues of W always": degenerate(
                curved=CURVED.replace("np.ptp(s) < 1e-7", "True")
            ),
            "diagonal of W always": degenerate(curved=CURVED.replace("np.ptp(s) < 1e-7", "False")),
            "through jax's eigvalsh": degenerate(
                curved="f = lambda t: jnp.linalg.eigvalsh(A + t * V)[k:k + m]\n"
                "    return jax.jacfwd(jax.jacfwd(f))(0.0)"
            ),
            "broadened over all pairs": degenerate(curved=BROADENED),
            "numerator not squared": degenerate(
                curved=LOOPED.replace("(x @ V @ U[:, a]) * (U[:, a] @ V @ y)", "(x @ V @ U[:, a])")
            ),
        },
    },
    "4.5": {
        "right": {
            "gaps as an array": half(),
            "the larger gap first": half(GAPS.replace("0.5, 1.5", "1.5, 0.5")),
            "by least squares of its own": half(splitter=DESCENT),
        },
        "wrong": {
            "odd gaps": half("return np.ones(N - 1)"),
            "half of each gap": half("return np.full(N - 1, 0.5)"),
            "not a palindrome": half("return np.array([0.5, 1.5, 2.5, 3.5] * N)[: N - 1]"),
            "even gaps": half("return np.full(N - 1, 2.0)"),
            "thirds": half(GAPS.replace("0.5, 1.5", "1 / 3, 5 / 3")),
            "negative gaps": half(GAPS.replace("1.5", "-0.5")),
            "half the couplings of the full transfer": half(
                splitter="k = np.arange(1, N)\n    return np.sqrt(k * (N - k)) / 4"
            ),
            "the couplings of the full transfer": half(
                splitter="k = np.arange(1, N)\n    return np.sqrt(k * (N - k)) / 2"
            ),
            "levels that do not begin below zero": half(
                splitter="levels = np.cumsum(np.append(0, half_gaps(N)))\n"
                "    return engineer(levels)[-1]"
            ),
            "the first step": half(splitter=SPLITTER.replace("[-1]", "[1]")),
        },
    },
    "4.6": {
        "right": {
            "reduced to v, a compiled helper with svd in its name": TOP.replace(
                "def unit", "@jax.jit\ndef unit"
            ).replace("unit(", "tsvd_unit("),
            "dense solve": DENSE,
        },
        "wrong": {
            "no rule, a plain loop": PLAIN,
            "a rule that differentiates the loop": INNER,
            "sign of the solution": TOP.replace("u @ D @ v, dv)", "u @ D @ v, -dv)"),
            "vectors do not move": TOP.replace(
                "(du - u * (u @ du), u @ D @ v, dv)", "(0 * u, u @ D @ v, 0 * v)"
            ),
            "slope of s": TOP.replace("u @ D @ v, dv)", "2 * (u @ D @ v), dv)"),
            "too few iterations": TOP.replace("length=300", "length=10"),
            "rule with detached state": TOP.replace(
                "u, s, v = top_singular(A)\n    e",
                "u, s, v = jax.lax.stop_gradient(top_singular(A))\n    e",
            ),
            "u and v swapped": TOP.replace("return A @ v / s, s, v", "return v, s, A @ v / s"),
            "by svd": (
                "# Exercise 4.6\ndef top_singular(A):\n"
                "    U, s, Vh = jnp.linalg.svd(A, full_matrices=False)\n"
                "    return U[:, 0], s[0], Vh[0]\n"
            ),
            "by QR iteration": BY_QR,
            "by eig": TOP.replace(
                "    v = power(A)",
                "    w, X = jnp.linalg.eig(A.T @ A)\n    v = unit(X[:, jnp.argmax(w.real)].real)",
            ),
            "by numpy's svd": TOP.replace(
                "    v = power(A)",
                "    shape = jax.ShapeDtypeStruct(A.shape[1:], float)\n"
                "    first = lambda A: np.linalg.svd(A)[2][0]\n"
                "    v = jax.pure_callback(first, shape, A, vmap_method='sequential')",
            ),
            "unrolled, no reverse rule for u": TOP.replace("du = (e + A @ dv) / s", "du = e / s"),
        },
    },
}
