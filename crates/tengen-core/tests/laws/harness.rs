//! One harness for all operators: `laws("name", f).input(…).check()` holds `f` to
//! - gradients against central differences in f64, of first and second order;
//! - the same values for strided and broadcast views as for contiguous inputs;
//! - the same bits on one thread as on several, and the same values on every instruction set
//!   within a tolerance of the plain one;
//! - f16, bf16 and f32 within their precision of f64;
//! - no panic on empty, zero-dimensional, NaN and infinite inputs.

use tengen_core::{DType, GradManager, Result, Tensor, Var, ops};
use tengen_kernels::lanes::{available, with_isa};
use tengen_kernels::pool::with_threads;

pub type F = Box<dyn Fn(&[Tensor]) -> Result<Tensor>>;

pub struct Laws {
    name: &'static str,
    f: F,
    inputs: Vec<(Vec<usize>, f64, f64)>,
    differentiable: bool,
    second: bool,
    rtol: f64,
    halves: bool,
}

/// Laws for `f`; give it inputs, then `check`.
pub fn laws(name: &'static str, f: impl Fn(&[Tensor]) -> Result<Tensor> + 'static) -> Laws {
    Laws {
        name,
        f: Box::new(f),
        inputs: vec![],
        differentiable: true,
        second: true,
        rtol: 1e-5,
        halves: true,
    }
}

/// Held while a test depends on or changes what belongs to the process: instruction set, number of
/// threads, switches.
pub fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE.lock().unwrap_or_else(|e| e.into_inner())
}

/// A generator with the quality that test data needs.
pub struct Rng(u64);
impl Rng {
    pub fn new(seed: u64) -> Self {
        Rng(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    pub fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

pub fn tensor(shape: &[usize], data: &[f64], dtype: DType) -> Tensor {
    ops::cast(&Tensor::from_slice(data, shape).unwrap(), dtype).unwrap()
}

impl Laws {
    /// An input of this shape with elements in low..high.
    pub fn input(mut self, shape: &[usize], low: f64, high: f64) -> Self {
        self.inputs.push((shape.to_vec(), low, high));
        self
    }
    /// It has no gradient.
    pub fn no_gradient(mut self) -> Self {
        self.differentiable = false;
        self
    }
    /// Its second derivative is not to be compared.
    pub fn first_order(mut self) -> Self {
        self.second = false;
        self
    }
    /// Relative tolerance of f32 against f64.
    pub fn rtol(mut self, rtol: f64) -> Self {
        self.rtol = rtol;
        self
    }
    /// f16 and bf16 are not compared: their steps are too coarse for this operator.
    pub fn no_halves(mut self) -> Self {
        self.halves = false;
        self
    }

    fn data(&self) -> Vec<Vec<f64>> {
        let mut rng = Rng::new(self.name.bytes().fold(7u64, |h, b| h.wrapping_mul(31) + b as u64));
        self.inputs
            .iter()
            .map(|(shape, low, high)| {
                let n = shape.iter().product::<usize>();
                (0..n).map(|_| low + (high - low) * rng.next()).collect()
            })
            .collect()
    }

    fn tensors(&self, data: &[Vec<f64>], dtype: DType) -> Vec<Tensor> {
        self.inputs.iter().zip(data).map(|((s, _, _), d)| tensor(s, d, dtype)).collect()
    }

    fn run(&self, inputs: &[Tensor]) -> Vec<f64> {
        (self.f)(inputs).unwrap_or_else(|e| panic!("{}: {e}", self.name)).to_f64_vec().unwrap()
    }

    pub fn check(self) {
        let _alone = alone();
        let data = self.data();
        let exact = self.run(&self.tensors(&data, DType::F64));
        self.precision(&data, &exact);
        self.layouts(&data, &exact);
        self.instruction_sets(&data, &exact);
        self.threads();
        self.odd_inputs();
        if self.differentiable {
            self.gradient(&data);
            if self.second {
                self.second_gradient(&data);
            }
        }
    }

    fn close(&self, what: &str, got: &[f64], want: &[f64], rtol: f64) {
        assert_eq!(got.len(), want.len(), "{} {what}: number of elements", self.name);
        let scale = want.iter().filter(|v| v.is_finite()).fold(0.0f64, |a, v| a.max(v.abs()));
        for (i, (g, w)) in got.iter().zip(want).enumerate() {
            let same = g == w || (g.is_nan() && w.is_nan());
            let near = (g - w).abs() <= rtol * (w.abs() + 0.1 * scale) + 1e-300;
            assert!(same || near, "{} {what}: element {i} is {g}, not {w}", self.name);
        }
    }

    fn precision(&self, data: &[Vec<f64>], exact: &[f64]) {
        self.close("f32", &self.run(&self.tensors(data, DType::F32)), exact, self.rtol);
        if self.halves {
            for (dtype, rtol) in [(DType::F16, 2e-2), (DType::BF16, 1e-1)] {
                // Against f64 on the rounded inputs, so that only the operator's error counts.
                let half = self.tensors(data, dtype);
                let double: Vec<Tensor> =
                    half.iter().map(|t| ops::cast(t, DType::F64).unwrap()).collect();
                self.close(dtype.name(), &self.run(&half), &self.run(&double), rtol);
            }
        }
    }

    fn layouts(&self, data: &[Vec<f64>], exact: &[f64]) {
        let inputs = self.tensors(data, DType::F64);
        for k in 0..inputs.len() {
            let mut strided = inputs.clone();
            let n = inputs[k].ndim() as isize;
            let order: Vec<isize> = (0..n).rev().collect();
            let turned = ops::transpose(&inputs[k], &order).unwrap().contiguous().unwrap();
            strided[k] = ops::transpose(&turned, &order).unwrap();
            self.close("strided input", &self.run(&strided), exact, 1e-12);
        }
    }

    fn instruction_sets(&self, data: &[Vec<f64>], exact: &[f64]) {
        let inputs = self.tensors(data, DType::F32);
        for isa in available() {
            let got = with_isa(*isa, || self.run(&inputs)).unwrap();
            self.close(&format!("{isa:?}"), &got, exact, self.rtol);
        }
    }

    /// One thread against several, on inputs large enough to be shared out.
    fn threads(&self) {
        let mut rng = Rng::new(3);
        let inputs: Vec<Tensor> = self
            .inputs
            .iter()
            .map(|(shape, low, high)| {
                // The first axis is enlarged where all inputs can follow.
                let mut shape = shape.clone();
                if self.inputs.iter().all(|(s, ..)| s == &self.inputs[0].0)
                    && let Some(first) = shape.first_mut()
                    && *first > 1
                {
                    *first = 3000;
                }
                let n = shape.iter().product::<usize>();
                let data: Vec<f64> = (0..n).map(|_| low + (high - low) * rng.next()).collect();
                tensor(&shape, &data, DType::F32)
            })
            .collect();
        let bits = |threads: usize| -> Option<Vec<u64>> {
            let y = with_threads(threads, || (self.f)(&inputs)).ok()?;
            Some(y.to_f64_vec().unwrap().iter().map(|v| v.to_bits()).collect())
        };
        let one = bits(1);
        for n in [2, 3] {
            assert!(bits(n) == one, "{}: {n} threads give other bits than one", self.name);
        }
    }

    fn odd_inputs(&self) {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0, 1e-40, 3e38] {
            let inputs: Vec<Tensor> = self
                .inputs
                .iter()
                .map(|(s, ..)| tensor(s, &vec![value; s.iter().product()], DType::F32))
                .collect();
            let _ = (self.f)(&inputs);
        }
        for shape in [&[][..], &[0], &[0, 3], &[2, 0, 4]] {
            let inputs: Vec<Tensor> =
                self.inputs.iter().map(|_| Tensor::full(shape, 0.5, DType::F32).unwrap()).collect();
            let _ = (self.f)(&inputs);
        }
    }

    /// Σ f(x)·r and its gradients, with random r.
    fn weighted(&self, inputs: &[Tensor]) -> Result<Tensor> {
        let y = (self.f)(inputs)?;
        let mut rng = Rng::new(11);
        let r: Vec<f64> = (0..y.numel()).map(|_| rng.next() - 0.3).collect();
        ops::sum(&ops::mul(&y, &tensor(y.shape(), &r, y.dtype()))?, None, false)
    }

    fn gradients(&self, data: &[Vec<f64>]) -> Vec<Vec<f64>> {
        let vars: Vec<Var> = self.tensors(data, DType::F64).into_iter().map(Var::new).collect();
        let mut gm = GradManager::new();
        gm.attach_all(&vars).unwrap();
        gm.record().unwrap();
        let values: Vec<Tensor> = vars.iter().map(Var::get).collect();
        let y = self.weighted(&values).unwrap();
        gm.backward(&y).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        vars.iter().map(grad_or_zero).collect()
    }

    fn gradient(&self, data: &[Vec<f64>]) {
        let got = self.gradients(data);
        let value = |data: &[Vec<f64>]| {
            self.weighted(&self.tensors(data, DType::F64)).unwrap().item().unwrap()
        };
        self.central(data, &got, "gradient", value);
    }

    fn central(
        &self,
        data: &[Vec<f64>],
        got: &[Vec<f64>],
        what: &str,
        value: impl Fn(&[Vec<f64>]) -> f64,
    ) {
        for k in 0..data.len() {
            // A sample of elements is enough for large inputs.
            let step = (data[k].len() / 24).max(1);
            for i in (0..data[k].len()).step_by(step) {
                let h = 1e-6 * data[k][i].abs().max(1.0);
                let mut moved = data.to_vec();
                moved[k][i] = data[k][i] + h;
                let up = value(&moved);
                moved[k][i] = data[k][i] - h;
                let down = value(&moved);
                let want = (up - down) / (2.0 * h);
                let err = (got[k][i] - want).abs();
                let scale = want.abs().max(got[k].iter().fold(0.0, |a, v| a.max(v.abs())));
                assert!(
                    err <= 1e-5 * scale + 1e-7,
                    "{} {what} to input {k}, element {i}: {} against {want}",
                    self.name,
                    got[k][i]
                );
            }
        }
    }

    /// The gradient of the sum of squares of the gradients.
    fn second_gradient(&self, data: &[Vec<f64>]) {
        let vars: Vec<Var> = self.tensors(data, DType::F64).into_iter().map(Var::new).collect();
        let (mut outer, mut inner) = (GradManager::new(), GradManager::new());
        outer.attach_all(&vars).unwrap();
        inner.attach_all(&vars).unwrap();
        outer.record().unwrap();
        inner.record().unwrap();
        let values: Vec<Tensor> = vars.iter().map(Var::get).collect();
        let y = self.weighted(&values).unwrap();
        inner.backward(&y).unwrap_or_else(|e| panic!("{}: {e}", self.name));
        let mut total = Tensor::zeros(&[], DType::F64).unwrap();
        for v in &vars {
            if let Some(g) = v.grad() {
                let s = ops::sum(&ops::square(&g.get()).unwrap(), None, false).unwrap();
                total = ops::add(&total, &s).unwrap();
            }
            v.set_grad(None);
        }
        outer.backward(&total).unwrap_or_else(|e| panic!("{} second order: {e}", self.name));
        let got: Vec<Vec<f64>> = vars.iter().map(grad_or_zero).collect();
        let value = |data: &[Vec<f64>]| self.gradients(data).iter().flatten().map(|g| g * g).sum();
        self.central(data, &got, "second gradient", value);
    }
}

fn grad_or_zero(v: &Var) -> Vec<f64> {
    match v.grad() {
        Some(g) => g.get().to_f64_vec().unwrap(),
        None => vec![0.0; v.get().numel()],
    }
}
