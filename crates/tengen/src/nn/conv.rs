//! Convolutions.

use super::{Base, Forward, Module, Parameter, init};
use tengen_core::ops::{self, ConvParams, Padding};
use tengen_core::{DType, Result, Tensor, ensure};

/// A weight of shape `[out, in, …taps]`, with an axis of groups in front if there are several, with
/// normal elements of variance 1 / fan in.
fn weight(op: &str, out: usize, input: usize, taps: &[usize], groups: usize) -> Result<Parameter> {
    ensure!(
        groups > 0 && out.is_multiple_of(groups) && input.is_multiple_of(groups),
        Value,
        "{op}: {input} input and {out} output channels do not divide into {groups} groups"
    );
    let mut shape = vec![out / groups, input / groups];
    shape.extend_from_slice(taps);
    if groups > 1 {
        shape.insert(0, groups);
    }
    let w = Parameter::new(Tensor::zeros(&shape, DType::F32)?);
    let fan = (input / groups * taps.iter().product::<usize>()).max(1);
    init::normal(&w, 0.0, (1.0 / fan as f64).sqrt())?;
    Ok(w)
}

fn zeros(shape: &[usize]) -> Result<Option<Parameter>> {
    Ok(Some(Tensor::zeros(shape, DType::F32)?.into()))
}

/// Two-dimensional convolution of `[n, in_channels, h, w]`; see [`ops::conv2d`].
///
/// The weight `[out, in, kh, kw]` (`[groups, out/groups, in/groups, kh, kw]` with groups) starts as
/// normal numbers of variance 1 / (in/groups·kh·kw), the bias `[1, out, 1, 1]` at 0.
///
/// ```
/// use tengen::nn::{Conv2d, Forward};
/// use tengen::ops::ConvParams;
/// use tengen::{DType, Tensor};
/// let conv = Conv2d::new(3, 8, (3, 3), ConvParams { padding: (1, 1), ..Default::default() })?;
/// assert_eq!(*conv.call(&Tensor::ones(&[2, 3, 5, 5], DType::F32)?)?.shape(), [2, 8, 5, 5]);
/// # Ok::<(), tengen::Error>(())
/// ```
#[derive(Module)]
#[module(info = Conv2d::settings)]
pub struct Conv2d {
    /// `[out, in, kh, kw]`, with an axis of groups in front if there are several.
    pub weight: Parameter,
    /// `[1, out, 1, 1]`
    pub bias: Option<Parameter>,
    /// Stride, padding, dilation and groups.
    pub params: ConvParams,
    /// What the padding is filled with.
    #[module(skip)]
    pub padding_mode: PaddingMode,
    channels: [usize; 2],
    kernel_size: [usize; 2],
    #[module(base)]
    base: Base,
}

/// What a convolution's padding is filled with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PaddingMode {
    /// Zeros.
    #[default]
    Zeros,
    /// The pixels behind the edge, mirrored at it; the edge itself is not repeated.
    Reflect,
    /// The pixel at the edge.
    Replicate,
}

impl Conv2d {
    /// A convolution with a bias.
    ///
    /// # Errors
    /// Value: the channels do not divide into the groups. Memory: the weight cannot be had.
    pub fn new(
        in_channels: usize,
        out_channels: usize,
        kernel_size: (usize, usize),
        params: ConvParams,
    ) -> Result<Conv2d> {
        let mut conv = Conv2d::without_bias(in_channels, out_channels, kernel_size, params)?;
        conv.bias = zeros(&[1, out_channels, 1, 1])?;
        Ok(conv)
    }

    /// A convolution without a bias.
    ///
    /// # Errors
    /// As [`Conv2d::new`].
    pub fn without_bias(
        in_channels: usize,
        out_channels: usize,
        kernel_size: (usize, usize),
        params: ConvParams,
    ) -> Result<Conv2d> {
        let taps = [kernel_size.0, kernel_size.1];
        Ok(Conv2d {
            weight: weight("Conv2d", out_channels, in_channels, &taps, params.groups)?,
            bias: None,
            params,
            padding_mode: PaddingMode::Zeros,
            channels: [in_channels, out_channels],
            kernel_size: taps,
            base: Base::new(),
        })
    }

    fn settings(&self) -> String {
        settings(self.channels, &self.kernel_size, &self.params, self.bias.is_some())
    }
}

/// Settings as MegEngine's descriptions show them: those with usual values are left out.
fn settings(channels: [usize; 2], kernel: &[usize; 2], p: &ConvParams, bias: bool) -> String {
    let [k0, k1] = kernel;
    let mut s = format!("{}, {}, kernel_size=({k0}, {k1})", channels[0], channels[1]);
    if p.stride != (1, 1) {
        s += &format!(", stride={:?}", p.stride);
    }
    if p.padding != (0, 0) {
        s += &format!(", padding={:?}", p.padding);
    }
    if p.dilation != (1, 1) {
        s += &format!(", dilation={:?}", p.dilation);
    }
    if p.groups != 1 {
        s += &format!(", groups={}", p.groups);
    }
    if !bias {
        s += ", bias=False";
    }
    s
}

impl Forward for Conv2d {
    type Input = Tensor;
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (self.weight.get(), self.bias.as_ref().map(|b| b.get()));
        let mode = match self.padding_mode {
            PaddingMode::Zeros => return ops::conv2d(x, &weight, bias.as_ref(), self.params),
            PaddingMode::Reflect => Padding::Reflect,
            PaddingMode::Replicate => Padding::Replicate,
        };
        let (h, w) = self.params.padding;
        let x = ops::pad(x, &[(0, 0), (0, 0), (h, h), (w, w)], mode)?;
        ops::conv2d(&x, &weight, bias.as_ref(), ConvParams { padding: (0, 0), ..self.params })
    }
}

/// One-dimensional convolution of `[n, in_channels, w]`; see [`ops::conv1d`].
///
/// The weight `[out, in, k]` (`[groups, out/groups, in/groups, k]` with groups) starts as normal
/// numbers of variance 1 / (in/groups·k), the bias `[1, out, 1]` at 0.
#[derive(Module)]
#[module(info = Conv1d::settings)]
pub struct Conv1d {
    /// `[out, in, k]`, with an axis of groups in front if there are several.
    pub weight: Parameter,
    /// `[1, out, 1]`
    pub bias: Option<Parameter>,
    /// Stride, padding and dilation (the second of each pair) and groups.
    pub params: ConvParams,
    channels: [usize; 2],
    kernel_size: usize,
    #[module(base)]
    base: Base,
}

impl Conv1d {
    /// A convolution, with a bias if `bias`.
    ///
    /// # Errors
    /// As [`Conv2d::new`].
    pub fn new(
        in_channels: usize,
        out_channels: usize,
        kernel_size: usize,
        params: ConvParams,
        bias: bool,
    ) -> Result<Conv1d> {
        Ok(Conv1d {
            weight: weight("Conv1d", out_channels, in_channels, &[kernel_size], params.groups)?,
            bias: if bias { zeros(&[1, out_channels, 1])? } else { None },
            params,
            channels: [in_channels, out_channels],
            kernel_size,
            base: Base::new(),
        })
    }

    fn settings(&self) -> String {
        let [i, o] = self.channels;
        let p = &self.params;
        let mut s = format!("{i}, {o}, kernel_size={}", self.kernel_size);
        if p.stride.1 != 1 {
            s += &format!(", stride={}", p.stride.1);
        }
        if p.padding.1 != 0 {
            s += &format!(", padding={}", p.padding.1);
        }
        if p.dilation.1 != 1 {
            s += &format!(", dilation={}", p.dilation.1);
        }
        if p.groups != 1 {
            s += &format!(", groups={}", p.groups);
        }
        if self.bias.is_none() {
            s += ", bias=False";
        }
        s
    }
}

impl Forward for Conv1d {
    type Input = Tensor;
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(|b| b.get());
        ops::conv1d(x, &self.weight.get(), bias.as_ref(), self.params)
    }
}

/// Transposed convolution of `[n, in_channels, h, w]`; see [`ops::conv_transpose2d`].
///
/// The weight is `[in, out, kh, kw]` (`[groups, in/groups, out/groups, kh, kw]` with groups), the
/// bias `[1, out, 1, 1]`.
#[derive(Module)]
#[module(info = ConvTranspose2d::settings)]
pub struct ConvTranspose2d {
    /// `[in, out, kh, kw]`, with an axis of groups in front if there are several.
    pub weight: Parameter,
    /// `[1, out, 1, 1]`
    pub bias: Option<Parameter>,
    /// Stride, padding, dilation and groups of the convolution that this one transposes.
    pub params: ConvParams,
    #[module(skip)]
    output_padding: (usize, usize),
    channels: [usize; 2],
    kernel_size: [usize; 2],
    #[module(base)]
    base: Base,
}

impl ConvTranspose2d {
    /// A transposed convolution, with a bias if `bias`.
    ///
    /// # Errors
    /// As [`Conv2d::new`].
    pub fn new(
        in_channels: usize,
        out_channels: usize,
        kernel_size: (usize, usize),
        params: ConvParams,
        output_padding: (usize, usize),
        bias: bool,
    ) -> Result<ConvTranspose2d> {
        let taps = [kernel_size.0, kernel_size.1];
        let w = weight("ConvTranspose2d", in_channels, out_channels, &taps, params.groups)?;
        Ok(ConvTranspose2d {
            weight: w,
            bias: if bias { zeros(&[1, out_channels, 1, 1])? } else { None },
            params,
            output_padding,
            channels: [in_channels, out_channels],
            kernel_size: taps,
            base: Base::new(),
        })
    }

    fn settings(&self) -> String {
        settings(self.channels, &self.kernel_size, &self.params, self.bias.is_some())
    }
}

impl Forward for ConvTranspose2d {
    type Input = Tensor;
    type Output = Tensor;
    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let bias = self.bias.as_ref().map(|b| b.get());
        let w = self.weight.get();
        ops::conv_transpose2d(x, &w, bias.as_ref(), self.params, self.output_padding)
    }
}
