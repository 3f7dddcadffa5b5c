//! Where tensors live.

mod backend;
#[cfg(unix)]
mod guarded;

pub(crate) use backend::Far;
pub use backend::{Backend, Kernel, register};
#[cfg(unix)]
pub use guarded::Guarded;

use crate::op::{Meta, Op, Tensors};
use crate::{Result, Tensor, bail};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The device that holds a tensor and runs its operators: the host processor, under the name that the
/// user gave it, or one of the [`Backend`]s that were registered.
///
/// ```
/// use tengen_core::Device;
/// let device = Device::parse("cpu1")?;
/// assert_eq!(device.to_string(), "cpu1");
/// assert_eq!(Device::parse("cpu1:0")?, device);
/// assert_eq!(Device::default().to_string(), "xpux");
/// # Ok::<(), tengen_core::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Device {
    kind: Kind,
    stream: u8,
    index: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Cpu,
    Xpu,
    Multithread,
    /// A registered backend, whose number is the index.
    Far,
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Cpu, Kind::Xpu, Kind::Multithread];

    fn name(self) -> &'static str {
        match self {
            Kind::Cpu => "cpu",
            Kind::Xpu => "xpu",
            Kind::Multithread => "multithread",
            Kind::Far => "far",
        }
    }
}

/// The index of a device that is left to the system, written `x`.
const ANY: u16 = u16::MAX;
/// The index that is written `default`.
const DEFAULT: u16 = u16::MAX - 1;

impl Default for Device {
    /// `xpux`: where tensors live that no one placed elsewhere.
    fn default() -> Self {
        Device::ANYWHERE
    }
}

/// A number in digits alone.
fn number<T: FromStr>(text: &str) -> Option<T> {
    if text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

impl Device {
    /// The device of a backend.
    fn far(number: u8) -> Device {
        Device { kind: Kind::Far, stream: 0, index: number.into() }
    }

    /// Whether it has memory of its own.
    #[inline]
    pub fn is_far(self) -> bool {
        self.kind == Kind::Far
    }

    fn backend(self) -> Option<Arc<dyn Backend>> {
        if self.is_far() { backend::backend(self.index as u8) } else { None }
    }

    pub(crate) const ANYWHERE: Device = Device { kind: Kind::Xpu, stream: 0, index: ANY };

    /// The device of a name as MegEngine writes it: `cpu0`, `cpux`, `xpux`, `multithread2:0`, each
    /// with an optional `:stream`, which is 0 otherwise.
    ///
    /// # Errors
    /// Device: another name, such as `gpu0`.
    pub fn parse(name: &str) -> Result<Device> {
        let (base, stream) = name.split_once(':').unwrap_or((name, "0"));
        let known = Kind::ALL.into_iter().find_map(|kind| {
            let index = match base.strip_prefix(kind.name())? {
                "x" => ANY,
                "default" => DEFAULT,
                n => number(n).filter(|n| *n < DEFAULT)?,
            };
            Some(Device { kind, index, stream: number(stream)? })
        });
        let Some(device) = known else {
            bail!(
                Device,
                "device {name:?} is not available; this build has the CPU: cpu0, cpux, xpux"
            )
        };
        Ok(device)
    }
}

impl fmt::Display for Device {
    /// The name, with the stream if it is not 0.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(backend) = self.backend() {
            return write!(f, "{}{}", backend.name(), self.index);
        }
        f.write_str(self.kind.name())?;
        match self.index {
            ANY => f.write_str("x")?,
            DEFAULT => f.write_str("default")?,
            n => write!(f, "{n}")?,
        }
        match self.stream {
            0 => Ok(()),
            n => write!(f, ":{n}"),
        }
    }
}

/// Whether operators that run on this thread now may touch the memory of devices.
pub(crate) fn is_open() -> bool {
    #[cfg(unix)]
    return guarded::is_open();
    #[cfg(not(unix))]
    false
}

/// The device that an operator with these inputs runs on. Values that live in their handles come
/// along from the host.
fn common(op: &dyn Op, inputs: &[&Tensor]) -> Result<Device> {
    let mut found: Option<&Tensor> = None;
    for x in inputs.iter().filter(|x| !x.is_small()) {
        match found {
            Some(y) if y.device() != x.device() && (y.is_far() || x.is_far()) => bail!(
                Device,
                "{}: {y} is on {} and {x} on {}; copy one to the other's device",
                op.name(),
                y.device(),
                x.device()
            ),
            _ => found = Some(found.unwrap_or(x)),
        }
    }
    Ok(found.map_or(Device::ANYWHERE, Tensor::device))
}

/// Evaluates an operator of whose inputs some are on a device of their own: by the device's kernel, or
/// by its expansion. The second value says which: an expansion records itself.
pub(crate) fn evaluate(op: &dyn Op, inputs: &[&Tensor], out: &[Meta]) -> Result<(Tensors, bool)> {
    let device = common(op, inputs)?;
    let Some(backend) = device.backend() else { return Ok((op.eval(inputs, out)?, false)) };
    if let Some(kernel) = backend.kernel(op.name()) {
        return Ok((backend.run(kernel, op, inputs, out)?, false));
    }
    match op.expand(inputs) {
        Some(results) => Ok((results?, true)),
        None => bail!(Unsupported, "{}: {device} has no such operator", op.name()),
    }
}
