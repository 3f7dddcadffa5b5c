use super::*;
use crate::conv::Geometry;
use crate::epilogue::Activation;
use crate::lanes::{available, with_isa};
use crate::testing::values;

/// Calls `f(result, image place, filter place)` for every product of a convolution of one image.
fn products(g: &Geometry, mut f: impl FnMut(usize, usize, usize)) {
    let ((h, w), (oh, ow), (r, s)) = (g.image, g.out, g.filter);
    for (k, c) in (0..g.k).flat_map(|k| (0..g.c).map(move |c| (k, c))) {
        for (oy, ox) in (0..oh).flat_map(|y| (0..ow).map(move |x| (y, x))) {
            for (ky, kx) in (0..r).flat_map(|y| (0..s).map(move |x| (y, x))) {
                let y = (oy * g.stride.0 + ky * g.dilation.0).wrapping_sub(g.padding.0);
                let x = (ox * g.stride.1 + kx * g.dilation.1).wrapping_sub(g.padding.1);
                if y < h && x < w {
                    f(
                        (k * oh + oy) * ow + ox,
                        (c * h + y) * w + x,
                        ((k * g.c + c) * r + ky) * s + kx,
                    );
                }
            }
        }
    }
}

fn geometry(
    (c, k): (usize, usize),
    image: (usize, usize),
    filter: (usize, usize),
    stride: (usize, usize),
    padding: (usize, usize),
    dilation: (usize, usize),
) -> Geometry {
    let out =
        |n: usize, r: usize, s: usize, p: usize, d: usize| (n + 2 * p - d * (r - 1) - 1) / s + 1;
    Geometry {
        c,
        image,
        k,
        filter,
        out: (
            out(image.0, filter.0, stride.0, padding.0, dilation.0),
            out(image.1, filter.1, stride.1, padding.1, dilation.1),
        ),
        stride,
        padding,
        dilation,
    }
}

fn geometries() -> Vec<Geometry> {
    vec![
        geometry((3, 5), (9, 11), (3, 3), (1, 1), (1, 1), (1, 1)),
        geometry((4, 33), (8, 17), (3, 3), (2, 2), (1, 1), (1, 1)),
        geometry((3, 64), (23, 23), (7, 7), (2, 2), (3, 3), (1, 1)),
        geometry((17, 48), (7, 7), (1, 1), (1, 1), (0, 0), (1, 1)),
        geometry((5, 20), (12, 300), (1, 1), (1, 1), (0, 0), (1, 1)),
        geometry((6, 7), (11, 12), (1, 1), (2, 2), (0, 0), (1, 1)),
        geometry((2, 3), (13, 9), (3, 2), (3, 2), (2, 1), (2, 3)),
        geometry((2, 40), (5, 6), (5, 6), (1, 1), (0, 0), (1, 1)),
        geometry((2, 3), (4, 4), (1, 1), (5, 3), (1, 2), (1, 1)),
        geometry((2, 2), (3, 4), (2, 2), (1, 1), (5, 4), (1, 1)),
        geometry((9, 8), (7, 50), (3, 3), (1, 1), (1, 1), (1, 1)),
        geometry((4, 6), (3, 90), (2, 3), (1, 2), (1, 0), (1, 1)),
        geometry((200, 3), (40, 40), (3, 3), (1, 1), (1, 1), (1, 1)),
    ]
}

/// Runs a plan over two images and gives the results as f64, of which each has `out_len`.
fn run<T: Float>(
    plan: &Direct,
    image: &[f64],
    image_len: usize,
    filters: &[f64],
    out_len: usize,
    epilogue: Epilogue<'_, T>,
) -> Vec<f64> {
    let to = |v: &[f64]| v.iter().map(|v| T::from_f64(*v)).collect::<Vec<T>>();
    let (image, filters) = (to(image), to(filters));
    let mut out = vec![T::from_f64(f64::NAN); 2 * out_len];
    let mut packed = vec![T::default(); plan.packed_len::<T>()];
    let mut work = vec![T::from_f64(f64::NAN); plan.workspace_len(3)];
    let images = Images {
        n: 2,
        groups: 1,
        image: image.as_ptr(),
        image_step: image_len,
        out: out.as_mut_ptr(),
        out_step: out_len,
    };
    // SAFETY: the vectors have the lengths that the functions ask for.
    unsafe {
        plan.pack(1, filters.as_ptr(), packed.as_mut_ptr());
        plan.run(images, packed.as_ptr(), 3, work.as_mut_ptr(), epilogue);
    }
    out.iter().map(|v| v.to_f64()).collect()
}

fn filter_gradient<T: Float + std::ops::Add<Output = T>>(
    g: &Geometry,
    image: &[f64],
    dy: &[f64],
) -> Vec<f64> {
    let to = |v: &[f64]| v.iter().map(|v| T::from_f64(*v)).collect::<Vec<T>>();
    let (image, dy) = (to(image), to(dy));
    let plan = ToFilter::new::<T>(g).unwrap();
    let mut work = vec![T::from_f64(f64::NAN); plan.workspace_len::<T>(2, 1, 3)];
    let mut filters = vec![T::from_f64(f64::NAN); g.k * g.taps()];
    let gradients = Gradients {
        n: 2,
        groups: 1,
        image: image.as_ptr(),
        image_step: g.image_len(),
        out: dy.as_ptr(),
        out_step: g.out_len(),
    };
    // SAFETY: the vectors have the lengths that the function asks for.
    unsafe { plan.run(gradients, filters.as_mut_ptr(), 3, work.as_mut_ptr()) };
    filters.iter().map(|v| v.to_f64()).collect()
}

fn check<T: Float + std::ops::Add<Output = T>>(g: &Geometry, tolerance: f64) {
    let round = |v: Vec<f64>| v.iter().map(|v| T::from_f64(*v).to_f64()).collect::<Vec<_>>();
    let image = round(values(2 * g.image_len(), 1));
    let filters = round(values(g.k * g.taps(), 2));
    let dy = round(values(2 * g.out_len(), 3));
    let (mut y, mut dx) = (vec![0.0; 2 * g.out_len()], vec![0.0; 2 * g.image_len()]);
    let mut worst = 0.0f64;
    for i in 0..2 {
        let (a, b) = (i * g.image_len(), i * g.out_len());
        products(g, |o, p, f| {
            y[b + o] += image[a + p] * filters[f];
            dx[a + p] += dy[b + o] * filters[f];
        });
    }
    let forward = Direct::forward::<T>(g).unwrap();
    let none = Epilogue::default();
    let got = run::<T>(&forward, &image, g.image_len(), &filters, g.out_len(), none);
    let backward = Direct::to_input::<T>(g).unwrap();
    let gradient = run::<T>(&backward, &dy, g.out_len(), &filters, g.image_len(), none);
    let mut dw = vec![0.0; filters.len()];
    for i in 0..2 {
        let (a, b) = (i * g.image_len(), i * g.out_len());
        products(g, |o, p, f| dw[f] += dy[b + o] * image[a + p]);
    }
    let to_filter = filter_gradient::<T>(g, &image, &dy);
    for (a, b) in dw.iter().zip(&to_filter) {
        // Sums over many more terms.
        worst = worst.max(if b.is_nan() { f64::INFINITY } else { (a - b).abs() / 4.0 });
    }
    for (a, b) in y.iter().chain(&dx).zip(got.iter().chain(&gradient)) {
        worst = worst.max(if b.is_nan() { f64::INFINITY } else { (a - b).abs() });
    }
    assert!(worst < tolerance, "{g:?}: {worst}");
}

#[test]
fn sums_are_those_of_the_definition_on_every_instruction_set() {
    for isa in available() {
        with_isa(*isa, || {
            for g in geometries() {
                check::<f32>(&g, 2e-5);
                check::<f64>(&g, 1e-12);
            }
        });
    }
}

#[test]
fn the_epilogue_adds_and_bends_on_every_instruction_set() {
    let check = |plan: &Direct, from: usize, outs: usize, plane: usize, filters: &[f64]| {
        let (image, out_len) = (values(2 * from, 1), outs * plane);
        let run = |e| run::<f64>(plan, &image, from, filters, out_len, e);
        let (bias, slope, residual) = (values(outs, 3), values(outs, 4), values(2 * out_len, 5));
        let plain = run(Epilogue::default());
        let activation = Activation::Prelu(&slope[..]);
        let bent = run(Epilogue { bias: Some(&bias[..]), residual: Some(&residual), activation });
        for (i, (got, sum)) in bent.iter().zip(&plain).enumerate() {
            let channel = i / plane % outs;
            let v = sum + bias[channel] + residual[i];
            let want = if v < 0.0 { v * slope[channel] } else { v };
            assert!((got - want).abs() < 1e-14, "{i}: {got}, not {want}");
        }
    };
    for isa in available() {
        with_isa(*isa, || {
            for g in geometries() {
                let filters = values(g.k * g.taps(), 2);
                let forward = Direct::forward::<f64>(&g).unwrap();
                check(&forward, g.image_len(), g.k, g.pixels(), &filters);
                let backward = Direct::to_input::<f64>(&g).unwrap();
                check(&backward, g.out_len(), g.c, g.image.0 * g.image.1, &filters);
            }
        });
    }
}
