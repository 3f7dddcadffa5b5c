//! Where tensors live.

use crate::{Result, bail};
use std::fmt;
use std::str::FromStr;

/// The device that holds a tensor and runs its operators, as the user named it. Every name is the
/// host processor in this build.
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
}

impl Kind {
    const ALL: [Kind; 3] = [Kind::Cpu, Kind::Xpu, Kind::Multithread];

    fn name(self) -> &'static str {
        match self {
            Kind::Cpu => "cpu",
            Kind::Xpu => "xpu",
            Kind::Multithread => "multithread",
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
