"""Prints the polynomial coefficients of `src/lanes/math.rs`.

Each polynomial is the Chebyshev interpolant of the named function on the named interval, computed
in 60-digit arithmetic and rounded once. Needs mpmath and NumPy.
"""

import mpmath as mp
import numpy as np

mp.mp.dps = 60


def fit(f, lo, hi, degree):
    """Coefficients, highest power first, of the interpolant of f at Chebyshev nodes."""
    n = degree + 1
    nodes = [
        (lo + hi) / 2 + (hi - lo) / 2 * mp.cos(mp.pi * (2 * k + 1) / (2 * n)) for k in range(n)
    ]
    a = mp.matrix(n, n)
    b = mp.matrix(n, 1)
    for i, x in enumerate(nodes):
        for j in range(n):
            a[i, j] = x ** (degree - j)
        b[i] = f(x)
    return list(mp.lu_solve(a, b))


def show(name, f, lo, hi, degree):
    lo, hi = mp.mpf(lo), mp.mpf(hi)
    c = fit(f, lo, hi, degree)
    worst = mp.mpf(0)
    for i in range(401):
        x = lo + (hi - lo) * i / 400
        y = f(x)
        worst = max(worst, abs((mp.polyval(c, x) - y) / y)) if y else worst
    digits = 17
    body = ", ".join(mp.nstr(v, digits, min_fixed=0, max_fixed=0) for v in c)
    print(f"// {name} on [{mp.nstr(lo, 6)}, {mp.nstr(hi, 6)}]: {mp.nstr(worst, 3)}\n[{body}]\n")


def series(f, x0="1e-15"):
    """f with its removable singularity at 0 filled in."""
    x0 = mp.mpf(x0)
    return lambda x: f(x if abs(x) > x0 else x0)


half_ln2 = mp.log(2) / 2 * mp.mpf("1.0001")
# exp(r) = 1 + r + r^2 q(r)
q = series(lambda r: (mp.exp(r) - 1 - r) / r**2)
show("exp32 q", q, -half_ln2, half_ln2, 4)
show("exp64 q", q, -half_ln2, half_ln2, 11)

# log(m) = 2 s + s^3 p(s^2), s = (m - 1) / (m + 1), m in [sqrt(1/2), sqrt(2)]
z_max = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2 * mp.mpf("1.0001")
p = series(lambda z: (2 * mp.atanh(mp.sqrt(z)) - 2 * mp.sqrt(z)) / mp.sqrt(z) ** 3)
show("log32 p", p, 0, z_max, 3)
show("log64 p", p, 0, z_max, 7)

# erf(x) = x p(x^2) for |x| < 1
e = series(lambda z: mp.erf(mp.sqrt(z)) / mp.sqrt(z))
show("erf32 p", e, 0, 1, 6)
show("erf64 p", e, 0, 1, 13)

# erfc(x) exp(x^2) = t p(x t), t = 1 / (1 + c x), for x as far as erfc(x) is not 0
def g(c):
    def of(u):
        x = u / (1 - c * u)
        return mp.exp(x * x) * mp.erfc(x) * (1 + c * x)

    return of


for bits, c, end, degree in ((32, "0.55", "10.5", 9), (64, "0.375", "27.5", 22)):
    c, end = mp.mpf(c), mp.mpf(end)
    show(f"erfc{bits} p", g(c), 0, end / (1 + c * end), degree)

# sin(r) = r + r^3 s(r^2), cos(r) = 1 - r^2/2 + r^4 c(r^2), |r| <= pi/4
quarter = (mp.pi / 4 * mp.mpf("1.001")) ** 2
s = series(lambda z: (mp.sin(mp.sqrt(z)) - mp.sqrt(z)) / mp.sqrt(z) ** 3, "1e-9")
c = series(lambda z: (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2, "1e-9")
show("sin32", s, 0, quarter, 3)
show("sin64", s, 0, quarter, 7)
show("cos32", c, 0, quarter, 3)
show("cos64", c, 0, quarter, 7)


# `src/lanes/normal.rs`: for a near i/8, by the distance from there, q(a) = erfc(a/√2)/2 and
# q(a) − a·φ(a).
def table(name, doc, f, degree):
    sixteenth = mp.mpf(1) / 16
    columns = [
        fit(lambda d, i=i: f(mp.mpf(i) / 8 + d), -sixteenth, sixteenth, degree) for i in range(32)
    ]
    print(f"/// {doc}\n#[rustfmt::skip]\npub(super) const {name}: Table = [")
    for k in range(degree + 1):
        row = [str(np.float32(float(c[k]))) for c in columns]
        print("    [")
        for i in range(0, 32, 6):
            print("        " + " ".join(v + "," for v in row[i : i + 6]))
        print("    ],")
    print("];\n")


def beyond(a):
    return mp.erfc(a / mp.sqrt(2)) / 2


def slope(a):
    return beyond(a) - a * mp.npdf(a)


table("BEYOND", "q(a), how likely a standard normal number is beyond a.", beyond, 5)
table("SLOPE", "q(a) − a·φ(a), the derivative of x·Φ(x) at −a.", slope, 5)
