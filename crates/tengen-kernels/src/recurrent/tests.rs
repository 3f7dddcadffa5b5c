use super::*;
use crate::lanes::{available, with_isa};
use crate::testing::values;

fn single(v: &[f64]) -> Vec<f32> {
    v.iter().map(|v| *v as f32).collect()
}

/// What a layer computes in f64, element by element: z rows, h and c.
struct Plain {
    sizes: Sizes,
    gates: usize,
    weights: Vec<f64>,
    bias: Vec<f64>,
    z: Vec<f64>,
    h: Vec<f64>,
    c: Vec<f64>,
    dy: Vec<f64>,
}

impl Plain {
    fn new(sizes: Sizes, gates: usize) -> Plain {
        let (h, b) = (sizes.hidden, sizes.batch);
        let states = (sizes.steps + 1) * b * h;
        Plain {
            sizes,
            gates,
            weights: values(gates * h * h, 1),
            bias: values(gates * h, 2),
            z: values(sizes.steps * b * gates * h, 3),
            h: values(states, 4),
            c: values(states, 5),
            dy: values(sizes.steps * b * h, 6),
        }
    }

    /// Positions of the states before and after step `t`.
    fn at(&self, t: usize) -> (usize, usize) {
        let n = self.sizes.batch * self.sizes.hidden;
        if self.sizes.reverse { ((t + 1) * n, t * n) } else { (t * n, (t + 1) * n) }
    }

    /// Runs all steps; `cell` gives c and h from the gates' inputs and the earlier c.
    fn run(&mut self, cell: impl Fn(&mut [f64], f64) -> (f64, f64)) {
        let Sizes { batch, hidden, .. } = self.sizes;
        for t in self.sizes.order() {
            let (from, to) = self.at(t);
            for r in 0..batch {
                for u in 0..hidden {
                    let mut z: Vec<f64> = (0..self.gates)
                        .map(|g| {
                            let row = g * hidden + u;
                            let x = self.z[((t * batch + r) * self.gates + g) * hidden + u];
                            (0..hidden).fold(x + self.bias[row], |s, k| {
                                s + self.h[from + r * hidden + k] * self.weights[row * hidden + k]
                            })
                        })
                        .collect();
                    let (c, h) = cell(&mut z, self.c[from + r * hidden + u]);
                    self.c[to + r * hidden + u] = c;
                    self.h[to + r * hidden + u] = h;
                    for g in 0..self.gates {
                        self.z[((t * batch + r) * self.gates + g) * hidden + u] = z[g];
                    }
                }
            }
        }
    }

    /// The gradient to one step's input by the later dz, and dz by `cell`.
    fn back(&self, mut cell: impl FnMut(usize, usize, f64) -> Vec<f64>) -> (Vec<f64>, Vec<f64>) {
        let Sizes { batch, hidden, steps, .. } = self.sizes;
        let wide = self.gates * hidden;
        let (mut dz, mut dh) = (vec![0.0; steps * batch * wide], values(batch * hidden, 8));
        for t in self.sizes.order().rev() {
            for r in 0..batch {
                for u in 0..hidden {
                    let at = (t * batch + r) * hidden + u;
                    let d = cell(t, r * hidden + u, self.dy[at] + dh[r * hidden + u]);
                    for g in 0..self.gates {
                        dz[(t * batch + r) * wide + g * hidden + u] = d[g];
                    }
                }
            }
            for r in 0..batch {
                for u in 0..hidden {
                    dh[r * hidden + u] = (0..wide)
                        .map(|g| dz[(t * batch + r) * wide + g] * self.weights[g * hidden + u])
                        .sum();
                }
            }
        }
        (dz, dh)
    }
}

fn close(what: &str, got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len());
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((*g as f64 - w).abs() < 2e-5, "{what}: element {i} is {g}, not {w}");
    }
}

fn sizes() -> impl Iterator<Item = Sizes> {
    let extents = [(1, 1, 1), (3, 2, 5), (2, 7, 16), (4, 13, 33), (2, 6, 70), (2, 1, 130)];
    let both = extents.into_iter().flat_map(|e| [(e, false), (e, true)]);
    both.map(|((steps, batch, hidden), reverse)| Sizes { steps, batch, hidden, reverse })
}

fn packed(gates: usize, hidden: usize, weights: &[f32]) -> [Vec<f32>; 2] {
    let mut forward = vec![f32::NAN; packed_len::<f32>(gates, hidden)];
    let mut back = vec![f32::NAN; packed_transposed_len::<f32>(gates, hidden)];
    pack(gates, hidden, weights, &mut forward);
    pack_transposed(gates, hidden, weights, &mut back);
    [forward, back]
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

#[test]
fn lstm_and_its_gradients_equal_the_plain_loops_on_every_instruction_set() {
    for s in sizes() {
        let mut plain = Plain::new(s, 4);
        let start = (single(&plain.z), single(&plain.h), single(&plain.c));
        plain.run(|z, c| {
            let [i, f, o] = [0, 1, 3].map(|g| sigmoid(z[g]));
            let g = z[2].tanh();
            let c = f * c + i * g;
            z.copy_from_slice(&[i, f, g, o]);
            (c, o * c.tanh())
        });
        let n = s.batch * s.hidden;
        let mut dc = values(n, 7);
        let start_dc = single(&dc);
        let (want_dz, want_dh) = plain.back(|t, at, dh| {
            let (row, (before, after)) =
                (at / s.hidden * 4 * s.hidden + at % s.hidden, plain.at(t));
            let [i, f, g, o] = [0, 1, 2, 3].map(|k| plain.z[t * n * 4 + row + k * s.hidden]);
            let top = plain.c[after + at].tanh();
            let d = dc[at] + dh * o * (1.0 - top * top);
            dc[at] = d * f;
            let earlier = plain.c[before + at];
            vec![
                d * g * i * (1.0 - i),
                d * earlier * f * (1.0 - f),
                d * i * (1.0 - g * g),
                dh * top * o * (1.0 - o),
            ]
        });
        for set in available() {
            with_isa(*set, || {
                let (mut gates, mut h, mut c) = start.clone();
                let [forward, back] = packed(4, s.hidden, &single(&plain.weights));
                lstm(s, &forward, &single(&plain.bias), &mut gates, &mut h, &mut c);
                close("h", &h, &plain.h);
                close("c", &c, &plain.c);
                close("gates", &gates, &plain.z);
                let (mut dh, mut got_dc) = (single(&values(n, 8)), start_dc.clone());
                let mut dz = vec![f32::NAN; gates.len()];
                let dy = single(&plain.dy);
                lstm_backward(s, &back, &gates, &c, &dy, &mut dh, &mut got_dc, &mut dz);
                close("dz", &dz, &want_dz);
                close("dh", &dh, &want_dh);
                close("dc", &got_dc, &dc);
            });
        }
    }
}

#[test]
fn simple_and_its_gradients_equal_the_plain_loops_on_every_instruction_set() {
    let both = [Activation::Tanh, Activation::Relu];
    for (s, activation) in sizes().flat_map(|s| both.map(|a| (s, a))) {
        let mut plain = Plain::new(s, 1);
        let mut start = single(&plain.h);
        for t in 0..s.steps {
            let (n, (_, at)) = (s.batch * s.hidden, plain.at(t));
            start[at..at + n].copy_from_slice(&single(&plain.z[t * n..(t + 1) * n]));
        }
        plain.run(|z, _| {
            let h = if activation == Activation::Tanh { z[0].tanh() } else { z[0].max(0.0) };
            (0.0, h)
        });
        let (want_dz, want_dh) = plain.back(|t, at, dh| {
            let h = plain.h[plain.at(t).1 + at];
            let slope =
                if activation == Activation::Tanh { 1.0 - h * h } else { (h > 0.0) as u8 as f64 };
            vec![dh * slope]
        });
        for set in available() {
            with_isa(*set, || {
                let mut h = start.clone();
                let [forward, back] = packed(1, s.hidden, &single(&plain.weights));
                simple(s, activation, &forward, &single(&plain.bias), &mut h);
                close("h", &h, &plain.h);
                let mut dh = single(&values(s.batch * s.hidden, 8));
                let mut dz = vec![f32::NAN; plain.dy.len()];
                let dy = single(&plain.dy);
                simple_backward(s, activation, &back, &h, &dy, &mut dh, &mut dz);
                close("dz", &dz, &want_dz);
                close("dh", &dh, &want_dh);
            });
        }
    }
}
