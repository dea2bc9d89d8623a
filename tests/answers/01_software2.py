"""Right and wrong answers to the exercises of chapter 1: each is the whole solution cell."""


def design(body):
    return f"# Exercise 1.1\ndef design(loss, A, b):\n    {body}\n"


ONE = "one = jnp.linalg.lstsq(A, b)[0]"
FREE = "free = jnp.linalg.svd(A)[2][A.shape[0]:].T"
NEWTON = f"""{ONE}
    {FREE}
    a = one
    for _ in range(%d):
        H = free.T @ jax.hessian(loss)(a) @ free
        a = a - free @ jnp.linalg.solve(H, free.T @ jax.grad(loss)(a))
    return a"""


EVERYWHERE = """a = jnp.zeros(A.shape[1])
    for _ in range(20):
        a = a - jnp.linalg.solve(jax.hessian(%s)(a), jax.grad(%s)(a))
    return a"""


STEP = "dV = jnp.linalg.lstsq(J, r)[0]\n    return dV - jnp.sum(rho * dV) * h"
SPREAD = "return jnp.sqrt(jnp.sum(h * rho * (D - jnp.sum(h * rho * D)) ** 2))"


def constant(spread=SPREAD, step=STEP):
    return (
        "# Exercise 1.2\ndef distance(V1, V2, rho, x):\n"
        f"    h, D = x[1] - x[0], V1 - V2\n    {spread}\n\n\n"
        f"def fixed_step(J, r, rho, x):\n    h = x[1] - x[0]\n    {step}\n"
    )


def excited(flip):
    return f"""# Exercise 1.3
def from_excited(rho, x):
    root = np.sqrt(np.asarray(rho))
    slope = np.diff(root)
    humps = [i for i in range(1, len(root) - 1) if slope[i - 1] > 0 > slope[i]]
    humps = sorted(sorted(humps, key=lambda i: -root[i])[:2])
    node = min(range(humps[0], humps[1]), key=lambda i: root[i])
    {flip}
    psi = root * np.where(np.arange(len(root)) >= cut, -1, 1)
    return -(np.asarray(kinetic(x)) @ psi) / psi
"""


BOTH_SIDES = """flip = lambda c: root * np.where(np.arange(len(root)) >= c, -1, 1)
    bend = lambda c: np.abs(np.diff(flip(c), 2))[node - 3:node + 3].max()
    cut = node if bend(node) < bend(node + 1) else node + 1"""


def response(body):
    return (
        "# Exercise 1.4\ndef response(V, x):\n    h = x[1] - x[0]\n    E, U = eigenstates(V, x)\n"
        f"    psi, P = U[:, 0], U[:, 1:]\n    {body}\n"
    )


CUT = """d = U.T @ r
    left = jnp.sum(r**2) - jnp.append(0.0, jnp.cumsum(d**2))
    K = int(jnp.argmax(left <= eps**2 * len(r)))
    return Vt[:K].T @ (d[:K] / s[:K])"""


def heard(body, numbers="1e-5, 20, 9e-7, 36, 10"):
    return (
        f"# Exercise 1.5\ndef prediction():\n    return {numbers}\n\n\n"
        "def truncated_step(J, r, eps):\n"
        "    U, s, Vt = jnp.linalg.svd(J, full_matrices=False)\n"
        f"    {body}\n"
    )


ANSWERS = {
    "1.1": {
        "right": {
            "Newton's method in the null space": design(NEWTON % 15),
            "scipy, constraint handed over": design(
                "import scipy\n    of = jax.jit(jax.value_and_grad(loss))\n"
                "    fun = lambda a: [np.asarray(part) for part in of(a)]\n"
                "    held = dict(type='eq', fun=lambda a: A @ a - b, jac=lambda a: A)\n"
                "    found = scipy.optimize.minimize(\n"
                "        fun, np.linalg.pinv(A) @ b, jac=True, method='SLSQP',\n"
                "        constraints=held, options=dict(ftol=1e-15, maxiter=500))\n"
                "    return found.x"
            ),
            "scipy, null space by scipy": design(
                "import scipy\n    free = scipy.linalg.null_space(np.asarray(A))\n"
                "    one = np.linalg.pinv(A) @ np.asarray(b)\n"
                "    of = jax.jit(jax.value_and_grad(lambda z: loss(one + free @ z)))\n"
                "    fun = lambda z: [np.asarray(part) for part in of(z)]\n"
                "    start = np.zeros(free.shape[1])\n"
                "    found = scipy.optimize.minimize(fun, start, jac=True, tol=1e-12)\n"
                "    return one + free @ found.x"
            ),
        },
        "wrong": {
            "no constraint": design(EVERYWHERE % ("loss", "loss")),
            "penalty": design(
                "of = lambda a: loss(a) + 1e3 * jnp.sum((A @ a - b) ** 2)\n    "
                + EVERYWHERE % ("of", "of")
            ),
            "constraint alone": design("return jnp.linalg.lstsq(A, b)[0]"),
            "projected once, at the end": design(
                EVERYWHERE % ("loss", "loss") + " - jnp.linalg.pinv(A) @ (A @ a - b)"
            ),
            "one Newton step": design(NEWTON % 1),
            "published numbers": design("return jnp.array([0.79926643, -0.18941314, 0.02651995])"),
            "textbook": design("return jnp.array([3 / 4, -3 / 20, 1 / 60])"),
            "homogeneous constraint": design((NEWTON % 15).replace("a = one", "a = 0 * one")),
            "one free direction": design((NEWTON % 15).replace(FREE, FREE[:-2] + "[:1].T")),
            "stopped early": design(NEWTON % 4),
            "uphill": design((NEWTON % 15).replace("a = a -", "a = a +")),
            "rows in the place of columns": design(
                (NEWTON % 15).replace("[A.shape[0]:].T", "[:, A.shape[0]:]")
            ),
        },
    },
    "1.2": {
        "right": {
            "variance, and a row for the mean": constant(
                "return jnp.sqrt(jnp.sum(h * rho * D**2) - jnp.sum(h * rho * D) ** 2)",
                "return jnp.linalg.lstsq(jnp.vstack([J, h * rho]), jnp.append(r, 0.0))[0]",
            ),
            "average, and a multiplier": constant(
                "return np.sqrt(np.average((D - np.average(D, weights=rho)) ** 2, weights=rho))",
                "n = len(x)\n    w, zero = h * rho[:, None], jnp.zeros((1, 1))\n"
                "    M = jnp.block([[J.T @ J, w], [w.T, zero]])\n"
                "    return jnp.linalg.solve(M, jnp.append(J.T @ r, 0.0))[:n]",
            ),
            "pseudo-inverse": constant(
                step="dV = jnp.linalg.pinv(J) @ r\n    return dV - np.average(dV, weights=rho)"
            ),
        },
        "wrong": {
            "plain mean": constant("return jnp.sqrt(jnp.sum(h * rho * (D - jnp.mean(D)) ** 2))"),
            "no constant": constant("return jnp.sqrt(jnp.sum(h * rho * D**2))"),
            "no root": constant("return jnp.sum(h * rho * (D - jnp.sum(h * rho * D)) ** 2)"),
            "no weight": constant("return jnp.sqrt(jnp.sum(h * (D - jnp.mean(D)) ** 2))"),
            "no spacing": constant(
                "return jnp.sqrt(jnp.sum(rho * (D - jnp.sum(h * rho * D)) ** 2))"
            ),
            "hard-coded": constant("return 0.7241 * float(jnp.std(D) > 1e-9)"),
            "spacing of one grid": constant().replace("x[1] - x[0]", "0.05"),
            "size of one grid": constant(step=STEP + " + jnp.zeros(161)"),
            "first value pinned": constant(
                step="dV = jnp.linalg.lstsq(J, r)[0]\n    return dV - dV[0]"
            ),
            "least norm": constant(step="return jnp.linalg.lstsq(J, r)[0]"),
            "mean without weight": constant(
                step="dV = jnp.linalg.lstsq(J, r)[0]\n    return dV - jnp.mean(dV)"
            ),
            "mean added": constant(
                step="dV = jnp.linalg.lstsq(J, r)[0]\n    return dV + jnp.sum(rho * dV) * h"
            ),
            "solve for least squares": constant(
                step="dV = jnp.linalg.solve(J, r)\n    return dV - jnp.sum(rho * dV) * h"
            ),
            "transposed": constant(step=STEP.replace("lstsq(J", "lstsq(J.T")),
        },
    },
    "1.3": {
        "right": {
            "the smoother of two": excited(BOTH_SIDES),
            "smaller neighbour": excited(
                "cut = node if root[node - 1] < root[node + 1] else node + 1"
            ),
            "straight line through the node": """# Exercise 1.3
def from_excited(rho, x):
    s = jnp.sqrt(rho)
    part = jnp.cumsum(rho) / jnp.sum(rho)
    middle = jnp.where((part > 0.03) & (part < 0.97), s, jnp.inf)
    m = int(jnp.argmin(middle))
    signs = lambda c: jnp.where(jnp.arange(len(x)) < c, 1.0, -1.0)
    kink = [abs(float(jnp.diff(signs(c) * s, 2)[m - 1])) for c in (m, m + 1)]
    psi = signs(m if kink[0] < kink[1] else m + 1) * s
    return -jnp.dot(kinetic(x), psi) / psi
""",
        },
        "wrong": {
            "no sign change": "# Exercise 1.3\ndef from_excited(rho, x):\n"
            "    psi = jnp.sqrt(rho)\n    return -(kinetic(x) @ psi) / psi\n",
            "sign change at the centre": "# Exercise 1.3\ndef from_excited(rho, x):\n"
            "    psi = jnp.sqrt(rho) * jnp.sign(x - 0.63)\n"
            "    return -(kinetic(x) @ psi) / psi\n",
            "two points too far": excited("cut = node + 3"),
            "always left of the smallest value": excited("cut = node"),
            "always right of it": excited("cut = node + 1"),
            "larger neighbour": excited(
                "cut = node + 1 if root[node - 1] < root[node + 1] else node"
            ),
            "smallest value of all": "# Exercise 1.3\ndef from_excited(rho, x):\n"
            "    psi = jnp.sqrt(rho)\n"
            "    psi = jnp.where(jnp.arange(len(x)) > jnp.argmin(rho), -psi, psi)\n"
            "    return -(kinetic(x) @ psi) / psi\n",
            "sign of the potential": excited(BOTH_SIDES).replace("return -(", "return ("),
            "node between points 50 and 150": excited(
                "node = 50 + int(np.argmin(root[50:150]))\n"
                "    cut = node if root[node - 1] < root[node + 1] else node + 1"
            ),
            "energy one": excited(BOTH_SIDES).replace("return -(", "return 1.0 - ("),
        },
    },
    "1.4": {
        "right": {
            "by jax": "# Exercise 1.4\ndef response(V, x):\n"
            "    return jax.jacfwd(lambda V: eigenstates(V, x)[1][:, 0] ** 2)(V)\n",
            "einsum": response(
                "return -2 * h * jnp.einsum('i,im,m,jm,j->ij', psi, P, 1 / (E[1:] - E[0]), P, psi)"
            ),
        },
        "wrong": {
            "sign": response("return 2 * h * psi[:, None] * ((P / (E[1:] - E[0])) @ P.T) * psi"),
            "no factor two": response(
                "return -h * psi[:, None] * ((P / (E[1:] - E[0])) @ P.T) * psi"
            ),
            "no spacing": response("return -2 * psi[:, None] * ((P / (E[1:] - E[0])) @ P.T) * psi"),
            "first excited state alone": response(
                "return -2 * h * psi[:, None] * ((P / (E[1:] - E[0]))[:, :1] @ P.T[:1]) * psi"
            ),
            "squared gap": response(
                "return -2 * h * psi[:, None] * ((P / (E[1:] - E[0]) ** 2) @ P.T) * psi"
            ),
            "spacing of one grid": response(
                "return -2 * 0.125 * psi[:, None] * ((P / (E[1:] - E[0])) @ P.T) * psi"
            ),
            "nearly all states": response(
                "return -2 * h * psi[:, None] * ((P / (E[1:] - E[0]))[:, :40] @ P.T[:40]) * psi"
            ),
            "finite differences": response(
                "rho = lambda V: eigenstates(V, x)[1][:, 0] ** 2\n    "
                "d = lambda e: (rho(V + 1e-3 * e) - rho(V - 1e-3 * e)) / 2e-3\n    "
                "return jnp.stack([d(e) for e in jnp.eye(len(x))], axis=1)"
            ),
            "ground state kept": response(
                "return -2 * h * psi[:, None] * ((U / (E - E[0])) @ U.T) * psi"
            ),
            "no gap": response("return -2 * h * psi[:, None] * (P @ P.T) * psi"),
        },
    },
    "1.5": {
        "right": {
            "loop over directions": heard(
                """dV, K = jnp.zeros(J.shape[1]), 0
    while jnp.linalg.norm(r - J @ dV) > eps * len(r) ** 0.5 and K < len(s):
        dV = dV + Vt[K] * (U[:, K] @ r) / s[K]
        K += 1
    return dV"""
            ),
            "eigenvectors of JᵀJ": heard(
                """w, W = np.linalg.eigh(np.asarray(J.T @ J))
    W, dV = W[:, ::-1], np.zeros(J.shape[1])
    for K in range(len(w) + 1):
        B = np.asarray(J) @ W[:, :K]
        dV = W[:, :K] @ np.linalg.lstsq(B, np.asarray(r), rcond=1e-14)[0]
        if np.sum((r - J @ dV) ** 2) <= eps**2 * len(r):
            return dV
    return dV"""
            ),
        },
        "wrong": {
            "all directions": heard("return jnp.linalg.lstsq(J, r)[0]"),
            "one too many": heard(CUT.replace("K = ", "K = 1 + ")),
            "one too few": heard(CUT.replace("K = ", "K = -1 + ")),
            "noise of one point": heard(CUT.replace("eps**2 * len(r)", "eps**2")),
            "root forgotten": heard(CUT.replace("eps**2 * len(r)", "eps * len(r)")),
            "by singular value against noise": heard(
                "keep = s > eps\n    return Vt.T @ jnp.where(keep, (U.T @ r) / s, 0)"
            ),
            "Tikhonov": heard("return Vt.T @ (s * (U.T @ r) / (s**2 + eps**2))"),
            "times σ": heard(CUT.replace("/ s[:K]", "* s[:K]")),
            "columns of Vᵀ": heard(CUT.replace("Vt[:K].T", "Vt[:, :K]")),
            "rows of U": heard(CUT.replace("U.T @ r", "(U @ U.T @ r)[:len(s)]")),
            "sign": heard(CUT.replace("return Vt", "return -Vt")),
            "noise counted in the loss": heard(CUT, "1e-5, 20, 9e-8, 36, 10"),
            "σ once": heard(CUT, "1e-3, 20, 9e-7, 36, 10"),
            "directions counted from one": heard(CUT, "1e-5, 19, 9e-7, 35, 10"),
            "h forgotten": heard(CUT, "1e-4, 25, 9e-6, 36, 10"),
            "σ against ε²": heard(CUT, "1e-5, 20, 9e-7, 71, 20"),
        },
    },
}
