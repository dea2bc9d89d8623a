"""Right and wrong answers to the exercises of chapter 13: each is the whole solution cell."""


def shift(body):
    return f"# Exercise 13.1\ndef controlled_shift(f, t):\n    {body}\n"


def four_terms(sign="-", divisor="(4*c)"):
    return shift(f"""c = np.sqrt(2)
    near = f(t + np.pi / 2) - f(t - np.pi / 2)
    far = f(t + 1.5 * np.pi) - f(t - 1.5 * np.pi)
    return ((c + 1) * near {sign} (c - 1) * far) / {divisor}""")


def adjoint(x="U.conj().T @ y", lam="U.conj().T @ lam", slope="0.5 * np.vdot(lam, G @ y).imag"):
    return (
        f"# Exercise 13.2\ndef uncompute(t, G, y, lam):\n    U = scipy.linalg.expm(-0.5j * t * G)\n"
        f"    return {x}, {lam}, {slope}\n"
    )


TWO = """return scipy.linalg.expm(-0.5j * sum(
        h[a, b] * np.kron(PAULI[a], PAULI[b]) for a in range(4) for b in range(4)))"""
PATH = "return U @ scipy.linalg.expm(s * scipy.linalg.logm(U.conj().T @ V))"
SUM = """np.einsum("ab,aij,bkl->ikjl", h, PAULI, PAULI).reshape(4, 4)"""


def gate(two=TWO, path=PATH):
    return f"""# Exercise 13.3
def two_qubit(h):
    {two}


def geodesic(U, V, s):
    {path}
"""


POTENTIAL = """M = len(states)
    F = abs(states.conj() @ states.T) ** (2 * t)
    return (F.sum() - np.trace(F)) / (M * (M - 1))"""
HAAR = "return 1 / math.comb(t + D - 1, t)"


def frame(potential=POTENTIAL, haar=HAAR):
    return f"""# Exercise 13.4
def frame_potential(states, t):
    {potential}


def haar_potential(D, t):
    {haar}
"""


PLACE = "np.kron(np.kron(np.eye(2**q), sigma), np.eye(D // 2 ** (q + 1)))"
CHANNEL = """return (1 - p) * rho + p / 3 * sum(
        on_qubit(s, q, len(rho)) @ rho @ on_qubit(s, q, len(rho)) for s in PAULI[1:])"""


def kick_with(k):
    return f"k = {k}\n    return on_qubit(PAULI[k], q, len(psi)) @ psi"


KICK = kick_with("0 if u < 1 - p else 1 + min(2, int(3 * (u - 1 + p) / p))")


def noise(channel=CHANNEL, kick=KICK, place=PLACE):
    return f"""# Exercise 13.5
def on_qubit(sigma, q, D):
    return {place}


def depolarise(rho, p, q):
    {channel}


def kick(psi, p, q, u):
    {kick}
"""


TORQUE = "gradient[k] += np.vdot(lam, generators[k] @ psi).imag / 2"
BACK = "psi, lam = (turn(-theta[k], generators[k], v) for v in (psi, lam))"
SHARED = f"""for _ in range(d):
        for t, G in zip(theta, generators):
            psi = turn(t, G, psi)
    lam, gradient = 2 * H @ psi, np.zeros(len(theta))
    value = np.vdot(psi, lam).real / 2
    for _ in range(d):
        for k in reversed(range(len(theta))):
            {TORQUE}
            {BACK}
    return value, gradient"""


def shared(body=SHARED):
    return f"# Exercise 13.6\ndef shared_gradient(theta, generators, d, psi, H):\n    {body}\n"


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
        },
        "wrong": {
            "two terms": shift("return (f(t + np.pi / 2) - f(t - np.pi / 2)) / 2"),
            "plus between the pairs": four_terms(sign="+"),
            "factor two": four_terms(divisor="(2*c)"),
            "sign": four_terms(divisor="(-4*c)"),
            "finite differences": shift("return (f(t + 1e-2) - f(t - 1e-2)) / 2e-2"),
            "finite differences of fourth order": shift("""h = 1e-3
    return (f(t - 2 * h) - 8 * f(t - h) + 8 * f(t + h) - f(t + 2 * h)) / (12 * h)"""),
            "hard-coded": shift("return 0.324891"),
        },
    },
    "13.2": {
        "right": {
            "by eigenvectors": """# Exercise 13.2
def uncompute(t, G, y, lam):
    w, Q = np.linalg.eigh(G)
    back = lambda v: Q @ (np.exp(0.5j * t * w) * (Q.conj().T @ v))
    return back(y), back(lam), np.real(np.vdot(lam, -0.5j * (G @ y)))
""",
            "slope before the gate": adjoint(
                slope="0.5 * np.imag(np.vdot(U.conj().T @ lam, G @ (U.conj().T @ y)))"
            ),
        },
        "wrong": {
            "forward instead of back": adjoint(x="U @ y"),
            "transpose without conjugate": adjoint(x="U.T @ y"),
            "cotangent not turned": adjoint(lam="lam"),
            "cotangent turned forward": adjoint(lam="U @ lam"),
            "real part": adjoint(slope="0.5 * np.vdot(lam, G @ y).real"),
            "factor two": adjoint(slope="np.vdot(lam, G @ y).imag"),
            "sign": adjoint(slope="-0.5 * np.vdot(lam, G @ y).imag"),
            "six dimensions": adjoint(lam="U.conj().T @ lam + np.zeros(6)"),
            "first result again": "# Exercise 13.2\nkept = []\n"
            + adjoint().replace("    return ", "    kept.append((").rstrip()
            + "))\n    return kept[0]\n",
            "missing conjugate": adjoint(slope="0.5 * (lam @ (G @ y)).imag"),
        },
    },
    "13.3": {
        "right": {
            "einsum and eigenvectors": gate(f"""w, Q = np.linalg.eigh({SUM})
    return (Q * np.exp(-0.5j * w)) @ Q.conj().T"""),
            "power by the Schur form": gate(
                path="""T, Q = scipy.linalg.schur(U.conj().T @ V, output="complex")
    return U @ (Q * np.exp(1j * s * np.angle(np.diag(T)))) @ Q.conj().T"""
            ),
        },
        "wrong": {
            "sign of the exponent": gate(f"return scipy.linalg.expm(0.5j * {SUM})"),
            "no one half": gate(f"return scipy.linalg.expm(-1j * {SUM})"),
            "qubits exchanged": gate(
                f"return scipy.linalg.expm(-0.5j * {SUM.replace('ab,', 'ba,')})"
            ),
            "product of exponentials": gate("""U = np.eye(4)
    for a in range(4):
        for b in range(4):
            U = scipy.linalg.expm(-0.5j * h[a, b] * np.kron(PAULI[a], PAULI[b])) @ U
    return U"""),
            "four dimensions": gate(path=PATH + " @ np.eye(4)"),
            "straight line": gate(path="return (1 - s) * U + s * V"),
            "wrong side": gate(
                path="return scipy.linalg.expm(s * scipy.linalg.logm(U.conj().T @ V)) @ U"
            ),
            "wrong direction": gate(
                path="return V @ scipy.linalg.expm(s * scipy.linalg.logm(V.conj().T @ U))"
            ),
        },
    },
    "13.4": {
        "right": {
            "loop over pairs": frame("""M, total = len(states), 0.0
    for i in range(M):
        for j in range(i):
            total += abs(np.vdot(states[i], states[j])) ** (2 * t)
    return 2 * total / (M * (M - 1))"""),
            "factorials": frame(
                haar="""if D > 100:
        return 1 / math.comb(t + D - 1, t)
    return math.factorial(t) * math.factorial(D - 1) / math.factorial(t + D - 1)"""
            ),
        },
        "wrong": {
            "biased": frame("return np.mean(abs(states.conj() @ states.T) ** (2 * t))"),
            "power t": frame(POTENTIAL.replace("** (2 * t)", "** t")),
            "no conjugate": frame(POTENTIAL.replace(".conj()", "")),
            "pairs counted once": frame(POTENTIAL.replace("/ (M", "/ (2 * M")),
            "divided by the square": frame(POTENTIAL.replace("/ (M * (M - 1))", "/ M**2")),
            "Haar, first moment's power": frame(haar="return 1 / D**t"),
            "Haar, off by one": frame(haar="return 1 / math.comb(t + D, t)"),
        },
    },
    "13.5": {
        "right": {
            "partial trace": noise("""n = len(rho).bit_length() - 1
    T = rho.reshape(2**q, 2, -1, 2**q, 2, 2**(n - 1 - q))
    mixed = np.einsum("aibcid,xy->axbcyd", T, np.eye(2) / 2).reshape(rho.shape)
    return (1 - 4 * p / 3) * rho + 4 * p / 3 * mixed"""),
            "first the Paulis": noise(kick=kick_with("min(3, 1 + int(3 * u / p)) if u < p else 0")),
        },
        "wrong": {
            "p for each": noise(CHANNEL.replace("p / 3", "p")),
            "p over four": noise(CHANNEL.replace("p / 3", "p / 4").replace("PAULI[1:]", "PAULI")),
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
    "13.6": {
        "right": {
            "one list of gates": shared("""gates = [k for _ in range(d) for k in range(len(theta))]
    for k in gates:
        psi = turn(theta[k], generators[k], psi)
    lam, gradient = H @ psi, [0.0] * len(theta)
    value = np.real(np.vdot(psi, lam))
    for k in gates[::-1]:
        gradient[k] += np.imag(np.vdot(lam, generators[k] @ psi))
        psi, lam = turn(-theta[k], generators[k], psi), turn(-theta[k], generators[k], lam)
    return value, np.array(gradient)"""),
            "jax arrays": shared("psi = jnp.asarray(psi)\n    " + SHARED),
            "matrices of the gates": shared("""one = np.eye(len(psi))
    pairs = zip(theta, generators)
    U = [np.cos(t / 2) * one - 1j * np.sin(t / 2) * G for t, G in pairs]
    for _ in range(d):
        for u in U:
            psi = u @ psi
    lam, gradient = 2 * H @ psi, np.zeros(len(theta))
    value = np.vdot(psi, lam).real / 2
    for _ in range(d):
        for k in reversed(range(len(theta))):
            gradient[k] += np.vdot(lam, generators[k] @ psi).imag / 2
            psi, lam = U[k].conj().T @ psi, U[k].conj().T @ lam
    return value, gradient"""),
            "torque before the gate": shared(
                SHARED.replace(f"{TORQUE}\n            {BACK}", f"{BACK}\n            {TORQUE}")
            ),
        },
        "wrong": {
            "last layer only": shared(
                SHARED.replace("gradient[k] +=", "gradient[k] = gradient[k] or ")
            ),
            "first layer only": shared(SHARED.replace("gradient[k] +=", "gradient[k] =")),
            "order not reversed": shared(
                SHARED.replace("reversed(range(len(theta)))", "range(len(theta))")
            ),
            "turned forward": shared(SHARED.replace("turn(-theta[k]", "turn(theta[k]")),
            "factor two": shared(SHARED.replace(".imag / 2", ".imag")),
            "finite differences": shared("""def energy(theta, psi):
        for t, G in d * list(zip(theta, generators)):
            psi = np.cos(t / 2) * psi - 1j * np.sin(t / 2) * (G @ psi)
        return np.vdot(psi, H @ psi).real
    steps = 1e-6 * np.eye(len(theta))
    slopes = [(energy(theta + e, psi) - energy(theta - e, psi)) / 2e-6 for e in steps]
    return energy(theta, psi), np.array(slopes)"""),
            "cotangent left behind": shared(
                SHARED.replace(
                    BACK,
                    "psi = turn(-theta[k], generators[k], psi)",
                )
            ),
            "stores all states": shared("""states = []
    for _ in range(d):
        for t, G in zip(theta, generators):
            psi = turn(t, G, psi)
            states.append(psi)
    lam, gradient = 2 * H @ psi, np.zeros(len(theta))
    value = np.vdot(psi, lam).real / 2
    for j in reversed(range(len(states))):
        k = j % len(theta)
        gradient[k] += np.vdot(lam, generators[k] @ states[j]).imag / 2
        lam = turn(-theta[k], generators[k], lam)
    return value, gradient"""),
            "shifts of each gate": shared("""angles = np.tile(theta, d)
    def energy(angles):
        p = psi
        for j, t in enumerate(angles):
            p = turn(t, generators[j % len(theta)], p)
        return np.vdot(p, H @ p).real
    each = [(energy(angles + e) - energy(angles - e)) / 2 for e in np.pi / 2 * np.eye(len(angles))]
    return energy(angles), np.reshape(each, (d, -1)).sum(axis=0)"""),
        },
    },
}
