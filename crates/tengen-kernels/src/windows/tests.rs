use super::*;
use crate::lanes::{available, with_isa};
use crate::testing::values;

const GEOMETRIES: [Geometry; 4] = [
    Geometry {
        c: 3,
        image: (7, 9),
        k: 1,
        filter: (3, 2),
        out: (4, 5),
        stride: (2, 2),
        padding: (1, 1),
        dilation: (1, 3),
    },
    // The filter covers the image.
    Geometry {
        c: 2,
        image: (5, 6),
        k: 1,
        filter: (5, 6),
        out: (1, 1),
        stride: (1, 1),
        padding: (0, 0),
        dilation: (1, 1),
    },
    // More zeros than image: some taps lie wholly beyond it.
    Geometry {
        c: 1,
        image: (3, 2),
        k: 1,
        filter: (2, 3),
        out: (12, 10),
        stride: (1, 1),
        padding: (5, 5),
        dilation: (1, 1),
    },
    Geometry {
        c: 2,
        image: (40, 41),
        k: 1,
        filter: (2, 2),
        out: (4, 5),
        stride: (1, 1),
        padding: (0, 0),
        dilation: (36, 36),
    },
];

/// What tap (c, ky, kx) reads at position (oy, ox), if it is no zero.
fn covered(g: &Geometry, tap: usize, position: usize) -> Option<usize> {
    let (r, s) = g.filter;
    let (c, ky, kx) = (tap / (r * s), tap / s % r, tap % s);
    let (oy, ox) = (position / g.out.1, position % g.out.1);
    let y = (oy * g.stride.0 + ky * g.dilation.0).checked_sub(g.padding.0)?;
    let x = (ox * g.stride.1 + kx * g.dilation.1).checked_sub(g.padding.1)?;
    (y < g.image.0 && x < g.image.1).then_some((c * g.image.0 + y) * g.image.1 + x)
}

#[test]
fn windows_are_gathered_and_added_by_the_definition() {
    for (g, order, isa) in GEOMETRIES
        .iter()
        .flat_map(|g| [Order::Taps, Order::Positions].map(|order| (g, order)))
        .flat_map(|(g, order)| available().iter().map(move |isa| (g, order, *isa)))
    {
        let windows = Windows::in_order(g, order);
        // All but the first row of positions, after two others.
        let (skipped, before) = (g.out.1.min(g.pixels() - g.out.1), 2);
        let rows = skipped / g.out.1..g.out.0;
        let place = Place { all: before + g.pixels() - skipped, at: before };
        let (tap, position) = windows.steps(place.all);
        let image = values(g.image_len(), 1);
        let mut matrix = vec![f64::NAN; place.all * g.taps()];
        let mut sum = values(g.image_len(), 2);
        let mut want = sum.clone();
        with_isa(isa, || {
            for channels in [0..1, 1..g.c] {
                let (to, rows) = (matrix.as_mut_ptr(), rows.clone());
                // SAFETY: the vectors have the lengths that the geometry asks for.
                unsafe { windows.gather(image.as_ptr(), channels, rows, to, place) };
            }
            // SAFETY: likewise.
            unsafe { windows.add(matrix.as_ptr(), place, 0..g.c, rows.clone(), sum.as_mut_ptr()) };
        });
        for t in 0..g.taps() {
            for p in 0..place.all {
                let got = matrix[t * tap + p * position];
                if p < before {
                    assert!(got.is_nan(), "{g:?} {order:?}");
                    continue;
                }
                let from = covered(g, t, p - before + skipped);
                assert_eq!(got, from.map_or(0.0, |i| image[i]), "{g:?} {order:?}");
                from.into_iter().for_each(|i| want[i] += got);
            }
        }
        for (a, b) in sum.iter().zip(want) {
            assert!((a - b).abs() < 1e-12, "{g:?} {order:?}: {a}, not {b}");
        }
    }
}
