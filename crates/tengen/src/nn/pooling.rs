//! Pooling over windows of images `[n, c, h, w]`.

use super::{Base, Forward, Module};
use tengen_core::ops::{self, CountMode, PoolParams};
use tengen_core::{Result, Tensor};

/// One number if both are the same, as MegEngine's descriptions show what was given as one.
fn pair(p: (usize, usize)) -> String {
    if p.0 == p.1 { p.0.to_string() } else { format!("{p:?}") }
}

fn settings(p: &PoolParams) -> String {
    let (kernel, stride, padding) = (pair(p.kernel), pair(p.stride), pair(p.padding));
    format!("kernel_size={kernel}, stride={stride}, padding={padding}")
}

/// The maximum of each window; padding never wins. See [`ops::max_pool2d`].
///
/// `[n, c, h, w]` becomes `[n, c, h', w']` with h' = ⌊(h + 2·padding − kernel) / stride⌋ + 1.
///
/// # Errors
/// Shape: the input is not `[n, c, h, w]`, or there are no windows in it.
///
/// ```
/// use tengen::nn::{Forward, MaxPool2d};
/// use tengen::ops::PoolParams;
/// use tengen::{DType, Tensor};
/// let x = Tensor::ones(&[1, 2, 8, 8], DType::F32)?;
/// assert_eq!(*MaxPool2d::new(2).call(&x)?.shape(), [1, 2, 4, 4]);
/// let overlapping = PoolParams { kernel: (3, 3), stride: (2, 2), padding: (1, 1) };
/// assert_eq!(*MaxPool2d::new(overlapping).call(&x)?.shape(), [1, 2, 4, 4]);
/// # Ok::<(), tengen::Error>(())
/// ```
#[derive(Module)]
#[module(info = MaxPool2d::settings)]
pub struct MaxPool2d {
    /// The windows.
    #[module(skip)]
    pub params: PoolParams,
    #[module(base)]
    base: Base,
}

impl MaxPool2d {
    /// Pooling over these windows; a number stands for square ones side by side.
    pub fn new(windows: impl Into<PoolParams>) -> MaxPool2d {
        MaxPool2d { params: windows.into(), base: Base::new() }
    }

    fn settings(&self) -> String {
        settings(&self.params)
    }
}

impl Forward for MaxPool2d {
    type Input = Tensor;
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::max_pool2d(x, self.params)
    }
}

/// The mean of each window, of the elements that are not padding, or of all with padding as zeros.
/// See [`ops::avg_pool2d`].
///
/// `[n, c, h, w]` becomes `[n, c, h', w']` with h' = ⌊(h + 2·padding − kernel) / stride⌋ + 1.
///
/// # Errors
/// As [`MaxPool2d`].
///
/// ```
/// use tengen::nn::{AvgPool2d, Forward};
/// use tengen::Tensor;
/// let x = Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[1, 1, 2, 2])?;
/// assert_eq!(AvgPool2d::new(2).call(&x)?.to_vec::<f32>()?, [2.5]);
/// # Ok::<(), tengen::Error>(())
/// ```
#[derive(Module)]
#[module(info = AvgPool2d::settings)]
pub struct AvgPool2d {
    /// The windows.
    #[module(skip)]
    pub params: PoolParams,
    /// Which elements the mean is taken over.
    #[module(skip)]
    pub mode: CountMode,
    #[module(base)]
    base: Base,
}

impl AvgPool2d {
    /// Pooling over these windows, without padding in the means; a number stands for square windows
    /// side by side.
    pub fn new(windows: impl Into<PoolParams>) -> AvgPool2d {
        AvgPool2d::with_mode(windows, CountMode::ExcludePadding)
    }

    /// Pooling over these windows.
    pub fn with_mode(windows: impl Into<PoolParams>, mode: CountMode) -> AvgPool2d {
        AvgPool2d { params: windows.into(), mode, base: Base::new() }
    }

    fn settings(&self) -> String {
        let mode = match self.mode {
            CountMode::ExcludePadding => "average_count_exclude_padding",
            CountMode::IncludePadding => "average",
        };
        format!("{}, mode={mode}", settings(&self.params))
    }
}

impl Forward for AvgPool2d {
    type Input = Tensor;
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        ops::avg_pool2d(x, self.params, self.mode)
    }
}

macro_rules! adaptive {
    ($(#[$doc:meta])* $name:ident = $op:path;) => {
        $(#[$doc])*
        #[derive(Module)]
        pub struct $name {
            /// Height and width of the result.
            #[module(skip)]
            pub output: (usize, usize),
            #[module(base)]
            base: Base,
        }

        impl $name {
            /// Pooling to this height and width.
            pub fn new(output: (usize, usize)) -> $name {
                $name { output, base: Base::new() }
            }
        }

        impl Forward for $name {
            type Input = Tensor;
            type Output = Tensor;
            fn forward(&self, x: &Tensor) -> Result<Tensor> {
                $op(x, self.output)
            }
        }
    };
}

adaptive! {
    /// The mean of equal windows that give an image of the wanted size; see
    /// [`ops::adaptive_avg_pool2d`].
    ///
    /// `[n, c, h, w]` becomes `[n, c, h', w']`: windows of h − (h' − 1)·s rows, s = ⌊h / h'⌋ apart,
    /// and so for the columns.
    ///
    /// # Errors
    /// Shape: the input is not `[n, c, h, w]`, or is smaller than the result.
    ///
    /// ```
    /// use tengen::nn::{AdaptiveAvgPool2d, Forward};
    /// use tengen::{DType, Tensor};
    /// let x = Tensor::ones(&[1, 4, 8, 8], DType::F32)?;
    /// assert_eq!(*AdaptiveAvgPool2d::new((1, 1)).call(&x)?.shape(), [1, 4, 1, 1]);
    /// # Ok::<(), tengen::Error>(())
    /// ```
    AdaptiveAvgPool2d = ops::adaptive_avg_pool2d;
}

adaptive! {
    /// The maximum of equal windows that give an image of the wanted size; the windows are those of
    /// [`AdaptiveAvgPool2d`].
    ///
    /// # Errors
    /// As [`AdaptiveAvgPool2d`].
    ///
    /// ```
    /// use tengen::nn::{AdaptiveMaxPool2d, Forward};
    /// use tengen::{DType, Tensor};
    /// let x = Tensor::ones(&[1, 4, 8, 8], DType::F32)?;
    /// assert_eq!(*AdaptiveMaxPool2d::new((2, 4)).call(&x)?.shape(), [1, 4, 2, 4]);
    /// # Ok::<(), tengen::Error>(())
    /// ```
    AdaptiveMaxPool2d = ops::adaptive_max_pool2d;
}
