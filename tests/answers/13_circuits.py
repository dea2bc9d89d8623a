"""Right and wrong answers to the exercises of chapter 13: each is the whole solution cell."""


def answer(body):
    return f"# Exercise 13.1\ndef slope(x):\n    return {body}\n"


ANSWERS = {"13.1": {
    "right": {"reordered": answer("x * np.cos(x) + np.sin(x)"),
              "by jax": answer("jax.grad(lambda y: y * jnp.sin(y))(x)")},
    "wrong": {"sign": answer("jnp.sin(x) - x * jnp.cos(x)"),
              "one term": answer("x * jnp.cos(x)"),
              "other term": answer("jnp.sin(x)"),
              "factor": answer("2 * (jnp.sin(x) + x * jnp.cos(x))"),
              "hard-coded": answer("1.3818")}}}
