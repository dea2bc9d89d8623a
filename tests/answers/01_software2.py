"""Right and wrong answers to the exercises of chapter 1: each is the whole solution cell."""


def wells(body):
    return f"# Exercise 1.1\ndef wells(rho, x):\n    psi = jnp.sqrt(rho)\n    {body}\n"


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


ANSWERS = {
    "1.1": {
        "right": {
            "with numpy": "# Exercise 1.1\ndef wells(rho, x):\n"
            "    psi = np.sqrt(np.asarray(rho))\n    h = x[1] - x[0]\n"
            "    padded = np.concatenate([[0], psi, [0]])\n"
            "    return 0.5 * (padded[2:] - 2 * psi + padded[:-2]) / h**2 / psi\n",
            "by the logarithm": wells(
                "return -jnp.exp(-0.5 * jnp.log(rho)) * (kinetic(x) @ jnp.exp(0.5 * jnp.log(rho)))"
            ),
        },
        "wrong": {
            "sign": wells("return kinetic(x) @ psi / psi"),
            "density for wave function": wells("return -(kinetic(x) @ rho) / rho"),
            "no half": wells("return -2 * (kinetic(x) @ psi) / psi"),
            "another energy": wells("return 1.0 - (kinetic(x) @ psi) / psi"),
            "not divided": wells("return -(kinetic(x) @ psi)"),
            "harmonic guess": wells("return 0.5 * x**2 - 0.5"),
            "spacing of one grid": wells(
                "return -(kinetic(x) @ psi) / psi * ((x[1] - x[0]) / 0.05) ** 2"
            ),
            "size of one grid": wells("return -(kinetic(x) @ psi) / psi + jnp.zeros(201)"),
            "ends joined": wells(
                "bend = jnp.roll(psi, 1) - 2 * psi + jnp.roll(psi, -1)\n"
                "    return 0.5 * bend / (x[1] - x[0]) ** 2 / psi"
            ),
            "first result again": "# Exercise 1.1\nkept = []\ndef wells(rho, x):\n"
            "    psi = jnp.sqrt(rho)\n    kept.append(-(kinetic(x) @ psi) / psi)\n"
            "    return kept[0]\n",
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
                "return -2 * 0.1 * psi[:, None] * ((P / (E[1:] - E[0])) @ P.T) * psi"
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
}
