"""Right and wrong answers to the exercises of chapter 4: each is the whole solution cell."""


def feynman(body):
    return f"# Exercise 4.1\ndef energy_gradient(H, theta, k):\n    {body}\n"


FEYNMAN = (
    "u = jnp.linalg.eigh(H(theta))[1][:, k]\n"
    "    return jnp.array([(u.conj() @ D @ u).real "
    "for D in jnp.moveaxis(jax.jacfwd(H)(theta), 2, 0)])"
)


def reverse(body):
    return f"# Exercise 4.2\ndef eigh_reverse(d, U, d_bar, U_bar):\n    n = len(d)\n    {body}\n"


REVERSE = (
    "F = jnp.where(jnp.eye(n, dtype=bool), 0, 1 / (d[None] - d[:, None] + jnp.eye(n)))\n"
    "    Uh = U.conj().T\n"
    "    G = U @ (jnp.diag(d_bar) + F * (Uh @ U_bar)) @ Uh\n    return (G + G.conj().T) / 2"
)


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


SPLIT = "u = jnp.linalg.eigh(A)[1][:, k:k + m]\n    return jnp.linalg.eigh(u.T @ V @ u)[0]"
PROJECTOR = (
    "d, U = jnp.linalg.eigh(A)\n"
    "    B = [i for i in range(len(d)) if k <= i < k + m]\n"
    "    out = 0\n"
    "    for i in B:\n"
    "        for a in range(len(d)):\n"
    "            if a not in B:\n"
    "                X = jnp.outer(U[:, a], U[:, i])\n"
    "                out += (U[:, a] @ V @ U[:, i]) / (d[i] - d[a]) * (X + X.T)\n"
    "    return out"
)
RESOLVENT = (
    "d, U = jnp.linalg.eigh(A)\n"
    "    u = U[:, k:k + m]\n"
    "    P, E = u @ u.T, d[k:k + m].mean()\n"
    "    n = len(d)\n"
    "    R = jnp.linalg.inv(E * jnp.eye(n) - A + P * (1 + abs(E))) @ (jnp.eye(n) - P)\n"
    "    Q = R @ V @ P\n"
    "    return Q + Q.T"
)


def degenerate(split=SPLIT, projector=PROJECTOR):
    return (
        f"# Exercise 4.4\ndef split_levels(A, V, k, m):\n    {split}\n\n\n"
        f"def projector_jvp(A, V, k, m):\n    {projector}\n"
    )


SUM = (
    "d, U = jnp.linalg.eigh(H0)\n"
    "    return sum(2 * (U[:, i] @ V @ U[:, 0]) ** 2 / (d[0] - d[i]) for i in range(1, len(d)))"
)
SOLVE = (
    "b = V @ psi - psi * (psi @ V @ psi)\n"
    "    op = lambda v: matvec(v) - E * v + 2 * psi * (psi @ v)\n"
    "    x = jax.scipy.sparse.linalg.cg(op, -b, tol=1e-13)[0]\n"
    "    return 2 * (x - psi * (psi @ x)) @ V @ psi"
)
OWN_ITERATION = (
    "project = lambda v: v - psi * (psi @ v)\n"
    "    b = -project(V @ psi)\n"
    "    x, r = 0 * b, b\n"
    "    p, q = r, r @ r\n"
    "    for _ in range(len(psi) + 20):\n"
    "        Ap = project(matvec(p) - E * p)\n"
    "        a = q / jnp.maximum(p @ Ap, 1e-300)\n"
    "        x, r = x + a * p, project(r - a * Ap)\n"
    "        new = r @ r\n"
    "        p, q = r + new / jnp.maximum(q, 1e-300) * p, new\n"
    "        if q < 1e-28 * (b @ b):\n"
    "            break\n"
    "    return 2 * x @ V @ psi"
)


def second(sum_=SUM, solve=SOLVE):
    return (
        f"# Exercise 4.5\ndef second_sum(H0, V):\n    {sum_}\n\n\n"
        f"def second_solve(matvec, V, E, psi):\n    {solve}\n"
    )


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

ANSWERS = {
    "4.1": {
        "right": {
            "a loop over parameters": feynman(FEYNMAN),
            "gradient of the expectation with the state held": feynman(
                "psi = jax.lax.stop_gradient(jnp.linalg.eigh(H(theta))[1][:, k])\n"
                "    return jax.grad(lambda t: jnp.vdot(psi, H(t) @ psi).real)(theta)"
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
            "energy of H itself": feynman(
                "u = jnp.linalg.eigh(H(theta))[1][:, k]\n"
                "    return jnp.ones(2) * (u.conj() @ H(theta) @ u).real"
            ),
            "hard-coded": feynman("return np.array([0.5, -0.5])"),
        },
    },
    "4.2": {
        "right": {
            "by formula": reverse(REVERSE),
            "by loops over pairs": reverse(
                "G = sum(d_bar[i] * jnp.outer(U[:, i], U[:, i].conj()) for i in range(n))\n"
                "    G = G + 0 * U\n"
                "    for j in range(n):\n"
                "        for i in range(n):\n"
                "            if i != j:\n"
                "                c = U[:, i].conj() @ U_bar[:, j] / (d[j] - d[i])\n"
                "                G = G + c * jnp.outer(U[:, i], U[:, j].conj())\n"
                "    return 0.5 * (G + G.conj().T)"
            ),
        },
        "wrong": {
            "sign of F": reverse(REVERSE.replace("d[None] - d[:, None]", "d[:, None] - d[None]")),
            "no Hermitian part": reverse(REVERSE.replace("(G + G.conj().T) / 2", "G")),
            "twice the Hermitian part": reverse(
                REVERSE.replace("(G + G.conj().T) / 2", "G + G.conj().T")
            ),
            "transpose for dagger": reverse(REVERSE.replace("Uh = U.conj().T", "Uh = U.T")),
            "eigenvectors forgotten": reverse(REVERSE.replace("+ F * (Uh @ U_bar)", "")),
            "eigenvalues forgotten": reverse(REVERSE.replace("jnp.diag(d_bar) + ", "")),
            "not rotated": reverse(REVERSE.replace("Uh @ U_bar", "U_bar")),
            "symmetric part, not Hermitian": reverse(REVERSE.replace("G.conj().T", "G.T")),
            "hard-coded": reverse("return jnp.eye(n)"),
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
            "five columns": phases(
                "return jax.grad(lambda p: loss(U * jnp.exp(1j * p)))(jnp.zeros(5))"
            ),
            "always zero": phases("return jnp.zeros(len(U))"),
            "phase multiplied": phases(fix=PIVOT + "return U * z / jnp.abs(z)"),
            "first entry": phases(fix="return U * jnp.exp(-1j * jnp.angle(U[0]))"),
            "modulus of all": phases(fix="return jnp.abs(U) + 0j"),
            "divided by the entry": phases(fix=PIVOT + "return U / z"),
            "phase detached": phases(
                fix=PIVOT + "return U * jax.lax.stop_gradient(jnp.abs(z) / z)"
            ),
        },
    },
    "4.4": {
        "right": {
            "loops over pairs": degenerate(),
            "by a resolvent": degenerate(projector=RESOLVENT),
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
            "sign": degenerate(projector=PROJECTOR.replace("d[i] - d[a]", "d[a] - d[i]")),
            "one term": degenerate(projector=PROJECTOR.replace("(X + X.T)", "X")),
            "through jax's eigh": degenerate(
                projector="return jax.jvp("
                "lambda A: (lambda u: u @ u.T)(jnp.linalg.eigh(A)[1][:, k:k + m]), (A,), (V,))[1]"
            ),
            "first state of the block alone": degenerate(
                projector=PROJECTOR.replace("for i in B:\n", "for i in B[:1]:\n")
            ),
            "masked after the division": degenerate(
                projector="d, U = jnp.linalg.eigh(A)\n"
                "    inside = (jnp.arange(len(d)) >= k) & (jnp.arange(len(d)) < k + m)\n"
                "    gap = d[None] - d[:, None]\n"
                "    F = jnp.where(inside[None] & ~inside[:, None], 1 / gap, 0)\n"
                "    X = U @ (F * (U.T @ V @ U)) @ U.T\n    return X + X.T"
            ),
            "denominator forgotten": degenerate(
                projector=PROJECTOR.replace(" / (d[i] - d[a])", "")
            ),
        },
    },
    "4.5": {
        "right": {
            "another weight on ψψᵀ": second(),
            "matrix form and own iteration": second(
                "d, U = jnp.linalg.eigh(H0)\n"
                "    c = U[:, 0] @ V @ U[:, 1:]\n"
                "    return -2 * jnp.dot(c * c, 1 / (d[1:] - d[0]))",
                OWN_ITERATION,
            ),
        },
        "wrong": {
            "sign": second(SUM.replace("d[0] - d[i]", "d[i] - d[0]")),
            "factor two missing": second(SUM.replace("sum(2 *", "sum(")),
            "not squared": second(SUM.replace("** 2", "")),
            "ground state twice": second(
                SUM.replace("U[:, i] @ V @ U[:, 0]", "U[:, i] @ V @ U[:, i]")
            ),
            "sign of the solve": second(solve=SOLVE.replace("op, -b", "op, b")),
            "solve without factor two": second(solve=SOLVE.replace("return 2 *", "return")),
            "forms the matrix": second(
                solve="n = len(psi)\n"
                "    H = jnp.stack([matvec(e) for _ in range(5) for e in jnp.eye(n)][:n])\n"
                "    return second_sum(H, V)"
            ),
            "matrix from unit vectors": second(
                solve="return second_sum(jnp.stack([matvec(e) for e in jnp.eye(len(psi))]), V)"
            ),
            "matrix by vmap": second(
                solve="return second_sum(jax.vmap(matvec)(jnp.eye(len(psi))), V)"
            ),
            "matrix by differentiation": second(
                solve="return second_sum(jax.jacfwd(matvec)(psi), V)"
            ),
            "right-hand side not projected": second(
                solve=SOLVE.replace("b = V @ psi - psi * (psi @ V @ psi)", "b = V @ psi").replace(
                    "2 * (x - psi * (psi @ x))", "2 * x"
                )
            ),
            "few iterations": second(solve=SOLVE.replace("tol=1e-13", "tol=1e-13, maxiter=3")),
        },
    },
    "4.6": {
        "right": {
            "reduced to v": TOP,
            "dense solve": DENSE,
            "a compiled helper with svd in its name": TOP.replace(
                "def unit", "@jax.jit\ndef unit"
            ).replace("unit(", "tsvd_unit("),
        },
        "wrong": {
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
