//! Activations.

use super::{Base, Forward, Module, Parameter};
use tengen_core::{DType, Result, Tensor, ops};

/// Parametric rectifier: max(0, x) + a·min(0, x) with a learnable slope a.
///
/// One slope for all elements, or one per channel: axis 1 of an input `[n, c, …]`.
///
/// ```
/// use tengen::Tensor;
/// use tengen::nn::{Forward, PReLU};
/// let data = Tensor::from_slice(&[-1.2f32, -3.7, 2.7], &[3])?;
/// let prelu = PReLU::new(1, 0.25)?;
/// assert_eq!(prelu.call(&data)?.to_vec::<f32>()?, [-0.3, -0.925, 2.7]);
/// # Ok::<(), tengen::Error>(())
/// ```
#[derive(Module)]
pub struct PReLU {
    /// The slope: `[1]`, or `[1, num_parameters, 1, 1]`.
    pub weight: Parameter,
    #[module(base)]
    base: Base,
}

impl PReLU {
    /// A rectifier with `num_parameters` slopes (1, or the number of channels) that start at
    /// `init`.
    ///
    /// # Errors
    /// Memory: the slopes cannot be had.
    pub fn new(num_parameters: usize, init: f64) -> Result<PReLU> {
        let shape: &[usize] = if num_parameters == 1 { &[1] } else { &[1, num_parameters, 1, 1] };
        Ok(PReLU { weight: Tensor::full(shape, init, DType::F32)?.into(), base: Base::new() })
    }
}

impl Forward for PReLU {
    type Input = Tensor;
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::prelu(x, &self.weight.get())
    }
}

/// Layers without state.
macro_rules! stateless {
    ($($(#[$doc:meta])* $name:ident($x:ident) = $f:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Module, Default)]
        pub struct $name {
            #[module(base)]
            base: Base,
        }
        impl $name {
            /// The layer.
            pub fn new() -> Self {
                Self::default()
            }
        }
        impl Forward for $name {
            type Input = Tensor;
            type Output = Tensor;
            fn forward(&self, $x: &Tensor) -> Result<Tensor> {
                $f
            }
        }
    )*};
}

stateless! {
    /// max(0, x), elementwise.
    ReLU(x) = ops::relu(x);
    /// 1 / (1 + e⁻ˣ), elementwise.
    Sigmoid(x) = ops::sigmoid(x);
    /// x / (1 + e⁻ˣ), elementwise.
    SiLU(x) = ops::silu(x);
    /// x·Φ(x), elementwise, with the exact normal distribution function.
    GELU(x) = ops::gelu(x);
    /// The input itself.
    Identity(x) = Ok(x.clone());
}

/// max(0, x) + slope·min(0, x), elementwise.
#[derive(Module)]
pub struct LeakyReLU {
    /// The slope for x < 0.
    pub negative_slope: f64,
    #[module(base)]
    base: Base,
}

impl LeakyReLU {
    /// The layer with this slope for x < 0; 0.01 is usual.
    pub fn new(negative_slope: f64) -> LeakyReLU {
        LeakyReLU { negative_slope, base: Base::new() }
    }
}

impl Forward for LeakyReLU {
    type Input = Tensor;
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::leaky_relu(x, self.negative_slope)
    }
}

/// eˣ / Σeˣ over one axis.
#[derive(Module)]
#[module(info = Softmax::settings)]
pub struct Softmax {
    /// The axis; without one, 0 for inputs of 0, 1 or 3 dimensions and 1 for others.
    #[module(skip)]
    pub axis: Option<isize>,
    #[module(base)]
    base: Base,
}

impl Softmax {
    /// The layer over this axis.
    pub fn new(axis: Option<isize>) -> Softmax {
        Softmax { axis, base: Base::new() }
    }

    fn settings(&self) -> String {
        self.axis.map_or("axis=None".into(), |a| format!("axis={a}"))
    }
}

impl Forward for Softmax {
    type Input = Tensor;
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let usual = if matches!(x.ndim(), 0 | 1 | 3) { 0 } else { 1 };
        ops::softmax(x, self.axis.unwrap_or(usual))
    }
}
