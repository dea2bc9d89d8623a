"""Right and wrong answers to the exercises of chapter 9: each is the whole solution cell."""

SPLIT = (
    "leg = jnp.stack([jnp.sqrt(jnp.cosh(K)), jnp.sqrt(jnp.sinh(K))])\n"
    "    W = jnp.array([[1.0, 1.0], [1.0, -1.0]]) * leg\n"
    "    w = jnp.exp(h * jnp.array([1.0, -1.0]))\n"
    "    return jnp.einsum('s,sa,sb,sc,sd->abcd', w, W, W, W, W)"
)
FREE = "free = lambda h: contract_mirror(field_tensor(K, h), jnp.ones(2), chi, steps)\n    "


def field(
    tensor=SPLIT,
    m=FREE + "return slope(free)(h)",
    guess='{"h = 0": "zero", "h = 1e-4": "spontaneous"}',
):
    return (
        f"# Exercise 9.1\ndef field_tensor(K, h):\n    {tensor}\n\n\n"
        f"def magnetisation(K, h, chi, steps):\n    {m}\n\n\nPREDICTION = {guess}\n"
    )


SPIN_BASIS = (
    "a, b = jnp.sqrt(jnp.cosh(K) / 2), jnp.sqrt(jnp.sinh(K) / 2)\n"
    "    W = jnp.array([[a + b, a - b], [a - b, a + b]])\n"
    "    w = jnp.exp(h * jnp.array([1.0, -1.0]))\n"
    "    return jnp.einsum('s,sa,sb,sc,sd->abcd', w, W, W, W, W)"
)
BY_PARITY = (
    "m = np.indices((2, 2, 2, 2)).sum(axis=0)\n"
    "    size = jnp.cosh(K) ** ((4 - m) / 2) * jnp.sinh(K) ** (m / 2)\n"
    "    return 2 * size * jnp.where(m % 2 == 0, jnp.cosh(h), jnp.sinh(h))"
)

LEGS = (
    "def free(K):\n"
    "        leg = lambda k: jnp.stack([jnp.sqrt(jnp.cosh(k)), jnp.sqrt(jnp.sinh(k))])\n"
    "        x, y = leg(K[0]), leg(K[1])\n"
    "        odd = np.indices((2, 2, 2, 2)).sum(axis=0) % 2\n"
    "        T = jnp.einsum('a,b,c,d->abcd', y, x, y, x)\n"
    "        return contract(jnp.where(odd == 0, 2 * T, 0.0), chi, steps, safe_svd)\n\n    "
)
ANISO = (
    "def free(a, b):\n"
    "        t, u = jnp.sqrt(jnp.tanh(a)), jnp.sqrt(jnp.tanh(b))\n"
    "        T = jnp.ones(())\n"
    "        sx, sy = jnp.stack([jnp.ones_like(t), t]), jnp.stack([jnp.ones_like(u), u])\n"
    "        T = sy[:, None, None, None] * sx[:, None, None] * sy[:, None] * sx\n"
    "        even = np.indices((2,) * 4).sum(0) % 2 == 0\n"
    "        log = jnp.log(2 * jnp.cosh(a) * jnp.cosh(b))\n"
    "        return log + contract(T * even, chi, steps, safe_svd)\n\n    "
    "return jax.jvp(free, (Kx, Ky), (1.0, 0.0))[1], jax.jvp(free, (Kx, Ky), (0.0, 1.0))[1]"
)
LINEARISED = (
    "push = jax.linearize(free, jnp.array([Kx, Ky]))[1]\n"
    "    return push(jnp.array([1.0, 0.0])), push(jnp.array([0.0, 1.0]))"
)
FORWARD = "return tuple(jax.jacfwd(free)(jnp.array([Kx, Ky])))"


def bonds(body):
    return f"# Exercise 9.2\ndef bond_energies(Kx, Ky, chi, steps):\n    {body}\n"


MIXING = (
    "U, s, Vt = np.linalg.svd(M)\n    P = U.T @ np.asarray(dM) @ Vt.T\n    n = len(s)\n"
    "    out = np.zeros((n, n))\n    for i in range(chi):\n        for j in range(n):\n"
    "            if j < chi:\n                out[i, j] = P[i, j]\n            else:\n"
    "                a = (P[i, j] + P[j, i]) / 2 / (s[j] - s[i])\n"
    "                b = (P[i, j] - P[j, i]) / 2 / (s[j] + s[i])\n"
    "                out[j, i] = s[i] * SIGN(-a - b)\n                out[i, j] = s[i] * (-a + b)\n"
    "    return U @ out @ Vt"
).replace("SIGN", "")
SOLVE = (
    "dM = np.asarray(dM)\n    U, s, Vt = np.linalg.svd(M)\n"
    "    Uk, Vk, sk = U[:, :chi], Vt[:chi].T, s[:chi]\n"
    "    Up, Vp = U[:, chi:], Vt[chi:].T\n    L, R = Up.T @ dM @ Vk, Uk.T @ dM @ Vp\n"
    "    sd = s[chi:]\n    X, Y = np.zeros_like(L), np.zeros_like(R)\n"
    "    for j in range(chi):\n"
    "        D = sk[j] ** 2 - sd**2\n"
    "        X[:, j] = (sk[j] * L[:, j] + sd * R[j]) / D\n"
    "        Y[j] = (sk[j] * R[j] + sd * L[:, j]) / D\n"
    "    return Uk @ (Uk.T @ dM @ Vk) @ Vk.T + Up @ (X * sk) @ Vk.T + Uk @ (sk[:, None] * Y) @ Vp.T"
)
ECONOMY = (
    "U, s, Vt = jnp.linalg.svd(M)\n    P = U.T @ dM @ Vt.T\n"
    "    return U @ P.at[chi:, chi:].set(0.0) @ Vt"
)
TANGENT = (
    "U, s, Vt = np.linalg.svd(M)\n    A, B = U[:, :chi] @ U[:, :chi].T, Vt[:chi].T @ Vt[:chi]\n"
    "    return A @ dM + dM @ B - A @ dM @ B"
)


CHAPTERS_RULE = (
    "def best(M):\n        U, s, V = safe_svd(M)\n"
    "        return (U[:, :chi] * s[:chi]) @ V[:, :chi].T\n\n"
    "    return jax.jvp(best, (M,), (dM,))[1]"
)
KEPT_RULE = CHAPTERS_RULE.replace("safe_svd(M)", "flat_svd(M, 1e-8, float(chi))")
PROJECTOR = (
    "M, dM = np.asarray(M), np.asarray(dM)\n    s, Vt = np.linalg.svd(M)[1:]\n"
    "    G = Vt @ (dM.T @ M + M.T @ dM) @ Vt.T\n    D = np.zeros_like(G)\n"
    "    D[:chi, chi:] = G[:chi, chi:] / (s[:chi, None] ** 2 - s[None, chi:] ** 2)\n"
    "    return dM @ Vt[:chi].T @ Vt[:chi] + M @ Vt.T @ (D + D.T) @ Vt"
)


def truncation(full=SOLVE, economy=ECONOMY):
    return (
        f"# Exercise 9.3\ndef truncation_jvp(M, dM, chi):\n    {full}\n\n\n"
        f"def economical_jvp(M, dM, chi):\n    {economy}\n"
    )


POTTS = (
    "a, b = jnp.sqrt(jnp.exp(K) - 1), jnp.sqrt(jnp.exp(K) - 1 + q)\n"
    "    W = a * jnp.eye(q) + (b - a) / q * jnp.ones((q, q))\n"
    "    A = jnp.einsum('sa,sb,sc,sd->abcd', W, W, W, W)\n"
    "    return contract_mirror(A, jnp.ones(q), chi, steps)"
)
FOURIER = (
    "v = [np.ones(q) / np.sqrt(q)]\n"
    "    for k in range(1, q):\n"
    "        w = np.r_[np.ones(k), -k, np.zeros(q - k - 1)]\n"
    "        v.append(w / np.linalg.norm(w))\n"
    "    d = jnp.full(q, jnp.exp(K) - 1).at[0].add(q)\n"
    "    W = jnp.asarray(np.array(v).T) * jnp.sqrt(d)\n"
    "    A = jnp.einsum('sa,sb,sc,sd->abcd', W, W, W, W)\n"
    "    return contract_mirror(A, jnp.ones(q), chi, steps)"
)
CHOLESKY = (
    "W = jnp.linalg.cholesky(jnp.expm1(K) * jnp.eye(q) + 1)\n"
    "    A = jnp.einsum('sa,sb,sc,sd->abcd', W, W, W, W)\n"
    "    return contract_mirror(A, jnp.ones(q), chi, steps)"
)
DUAL = (
    "Kc = np.log(1 + np.sqrt(3))\n    K = 0.9 * Kc\n    star = np.log(1 + 3 / (np.exp(K) - 1))\n"
    "    left = potts_lnz(K, 3, chi, steps)\n"
    "    right = potts_lnz(star, 3, chi, steps) + 2 * np.log(np.exp(K) - 1) - np.log(3)\n"
    "    u = -jax.jvp(lambda K: potts_lnz(K, 3, chi, steps), (Kc,), (1.0,))[1]\n"
    "    return u, abs(left - right) / abs(left)"
)


def potts(lnz=POTTS, dual=DUAL):
    return (
        f"# Exercise 9.4\ndef potts_lnz(K, q, chi, steps):\n    {lnz}\n\n\n"
        f"def self_dual_point(chi, steps):\n    {dual}\n"
    )


CHARGE = (
    "A = pad(A, chi)\n    z = jnp.concatenate([z, jnp.ones(A.shape[0] - z.size)])\n"
    "    step = jax.jit(mirror_step, static_argnums=2)\n"
    "    for _ in range(steps):\n        A, z, _ = step(A, z, A.shape[0])\n"
    "    one = jnp.max(jnp.abs(jnp.linalg.eigvals(transfer_matrix(A, z))))\n"
    "    A, z, g = step(A, z, A.shape[0])\n"
    "    two = jnp.max(jnp.abs(jnp.linalg.eigvals(transfer_matrix(A, z))))\n"
    "    return FACTOR * (2 * jnp.log(one) - jnp.log(two) - 4 * g)"
)


def charge(body=CHARGE, factor="6 / np.pi"):
    head = "# Exercise 9.5\ndef central_charge(A, z, chi, steps):\n    "
    return head + body.replace("FACTOR", factor) + "\n"


ANSWERS = {
    "9.1": {
        "right": {
            "by parity": field(BY_PARITY, FREE + "return jax.grad(free)(float(h))"),
            "jacfwd": field(m=FREE + "return jax.jacfwd(free)(jnp.asarray(h, float))"),
            "symmetric root of the bond": field(SPIN_BASIS),
            "odd leg of the other sign": field(
                SPLIT.replace("[[1.0, 1.0], [1.0, -1.0]]", "[[1.0, -1.0], [1.0, 1.0]]")
            ),
        },
        "wrong": {
            "no factors": field(
                "return ising_tensor(K) * jnp.cosh(h)",
            ),
            "field on each leg": field(SPLIT.replace("jnp.exp(h *", "jnp.exp(4 * h *")),
            "sign of h": field(m=FREE + "return -slope(free)(h)"),
            "whole lattice": field(m=FREE + "return 2**steps * slope(free)(h)"),
            "by K": field(
                m="f = lambda k: contract_mirror(field_tensor(k, h), jnp.ones(2), chi, steps)\n"
                "    return slope(f)(K)"
            ),
            "small difference": field(m=FREE + "return (free(h + 1e-5) - free(h - 1e-5)) / 2e-5"),
            "weight to first order": field(
                SPLIT.replace(
                    "jnp.exp(h * jnp.array([1.0, -1.0]))", "1 + h * jnp.array([1.0, -1.0])"
                )
            ),
            "second difference": field(m=FREE + "return (free(h + 0.1) - free(h - 0.1)) / 0.2"),
            "prediction": field(guess='{"h = 0": "spontaneous", "h = 1e-4": "spontaneous"}'),
            "prediction of saturation": field(guess='{"h = 0": "zero", "h = 1e-4": "one"}'),
            "two legs only": field(SPLIT.replace("w, W, W, W, W", "w, W, W, W, 0 * W + 1")),
        },
    },
    "9.2": {
        "right": {
            "tanh and prefactor": bonds(ANISO),
            "jacfwd": bonds(LEGS + FORWARD),
            "linearize": bonds(LEGS + LINEARISED),
        },
        "wrong": {
            "exchanged": bonds(LEGS + FORWARD + "[::-1]"),
            "energies": bonds(LEGS + "return tuple(-jax.jacfwd(free)(jnp.array([Kx, Ky])))"),
            "backwards": bonds(LEGS + "return tuple(jax.grad(free)(jnp.array([Kx, Ky])))"),
            "no prefactor": bonds(ANISO.replace("log + contract", "contract")),
            "differences": bonds(
                LEGS + "f = lambda a, b: free(jnp.array([a, b]))\n    h = 1e-5\n"
                "    x = (f(Kx + h, Ky) - f(Kx - h, Ky)) / 2 / h\n"
                "    return x, (f(Kx, Ky + h) - f(Kx, Ky - h)) / 2 / h"
            ),
            "differences of eighth order": bonds(
                LEGS + "h = 2e-3\n"
                "    pairs = ((1, 4 / 5), (2, -1 / 5), (3, 4 / 105), (4, -1 / 280))\n"
                "    far = lambda k, e: free(jnp.array([Kx, Ky]) + k * h * e)\n"
                "    slope = lambda e: sum(w * (far(k, e) - far(-k, e)) for k, w in pairs) / h\n"
                "    return slope(np.array([1.0, 0.0])), slope(np.array([0.0, 1.0]))"
            ),
            "isotropic": bonds(
                "free = lambda K: contract(ising_tensor(K), chi, steps, safe_svd)\n"
                "    f = lambda K: ising_prefactor(K) + free(K)\n"
                "    return slope(f)(Kx) / 2, slope(f)(Ky) / 2"
            ),
            "plain svd": bonds(LEGS.replace("safe_svd", "lapack_svd") + FORWARD),
        },
    },
    "9.3": {
        "right": {
            "by mixing angles": truncation(MIXING),
            "by blocks, projectors": truncation(SOLVE, TANGENT),
            "economical by the chapter's rule": truncation(SOLVE, KEPT_RULE),
            "projector of the Gram matrix": truncation(PROJECTOR),
        },
        "wrong": {
            "economical": truncation(ECONOMY),
            "kept block only": truncation(
                "U, s, Vt = jnp.linalg.svd(M)\n"
                "    return U[:, :chi] @ (U[:, :chi].T @ dM @ Vt[:chi].T) @ Vt[:chi]"
            ),
            "left mixing forgotten": truncation(SOLVE.replace(" + Up @ (X * sk) @ Vk.T", "")),
            "sign": truncation(SOLVE.replace("+ sd * R[j]", "- sd * R[j]")),
            "truncated direction": truncation(
                "U, s, Vt = np.linalg.svd(dM)\n    return (U[:, :chi] * s[:chi]) @ Vt[:chi]"
            ),
            "denominators not squared": truncation(
                SOLVE.replace("sk[j] ** 2 - sd**2", "sk[j] - sd")
            ),
            "gap among the kept": truncation(
                "best = lambda U, s, Vt: (U[:, :chi] * s[:chi]) @ Vt[:chi]\n"
                "    f = lambda M: best(*jnp.linalg.svd(M))\n"
                "    return jax.jvp(f, (M,), (dM,))[1]"
            ),
            "economical is right": truncation(SOLVE, SOLVE),
            "the chapter's rule where kept values split": truncation(CHAPTERS_RULE),
            "small differences": truncation(
                "def best(M):\n        U, s, Vt = np.linalg.svd(M)\n"
                "        return (U[:, :chi] * s[:chi]) @ Vt[:chi]\n\n"
                "    return (best(M + 1e-5 * dM) - best(M - 1e-5 * dM)) / 2e-5"
            ),
        },
    },
    "9.4": {
        "right": {
            "by eigenvectors": potts(FOURIER),
            "by hand": potts(),
            "Cholesky": potts(CHOLESKY),
        },
        "wrong": {
            "bond for its root": potts(POTTS.replace("jnp.sqrt(", "(")),
            "half of the legs": potts(POTTS.replace("W, W, W, W)", "W, W, W @ W, jnp.eye(q))")),
            "not divided by q": potts(POTTS.replace("(b - a) / q", "(b - a)")),
            "Ising's bond": potts(
                POTTS.replace("jnp.exp(K) - 1 + q", "jnp.exp(K) - jnp.exp(-K) + q")
            ),
            "sign of u": potts(dual=DUAL.replace("u = -jax", "u = jax")),
            "no shift": potts(dual=DUAL.replace(" + 2 * np.log(np.exp(K) - 1) - np.log(3)", "")),
            "not relative": potts(dual=DUAL.replace(" / abs(left)", "")),
            "energy of the exact solution": potts(
                dual=DUAL.replace("return u,", "return -(1 + 1 / np.sqrt(3)),")
            ),
            "energy by differences": potts(
                dual=DUAL.replace(
                    "return u,",
                    "f = lambda K: potts_lnz(K, 3, chi, steps)\n"
                    "    return -(f(Kc + 1e-4) - f(Kc - 1e-4)) / 2e-4,",
                )
            ),
            "energy of a bond": potts(dual=DUAL.replace("return u,", "return u / 2,")),
        },
    },
    "9.5": {
        "right": {
            "by jax": charge(),
            "by hand": charge(CHARGE.replace("2 * jnp.log(one)", "jnp.log(one**2)")),
        },
        "wrong": {
            "factor": charge(factor="12 / np.pi"),
            "sign": charge(factor="-6 / np.pi"),
            "no pi/6": charge(factor="1.0"),
            "signs forgotten in the transfer matrix": charge(
                CHARGE.replace("transfer_matrix(A, z)", "transfer_matrix(A, jnp.ones(z.size))")
            ),
            "one step more": charge(CHARGE.replace("range(steps)", "range(steps + 1)")),
            "scale twice": charge(CHARGE.replace("4 * g", "2 * g")),
            "scale forgotten": charge(CHARGE.replace(" - 4 * g", "")),
            "scale once": charge(CHARGE.replace("4 * g", "g")),
            "one size": charge(
                CHARGE.replace("2 * jnp.log(one) - jnp.log(two) - 4 * g", "jnp.log(one)")
            ),
            "constant": charge("return 0.5"),
            "trace": charge(
                CHARGE.replace(
                    "jnp.max(jnp.abs(jnp.linalg.eigvals(transfer_matrix(A, z))))",
                    "jnp.trace(transfer_matrix(A, z))",
                )
            ),
        },
    },
}
