"""Chapter 13: its functions at values that the chapter does not use."""

import numpy as np

import course


def test_derivative():
    chapter = course.load("13_circuits")
    x = np.linspace(-3, 3, 7)
    np.testing.assert_allclose([chapter.jax.grad(chapter.f)(t) for t in x], np.cos(x), atol=1e-12)
