//! Where tensors live.

use crate::{Result, bail};
use std::fmt;

/// The device that holds a tensor and runs its operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Device {
    /// The host processor.
    #[default]
    Cpu,
}

impl Device {
    /// The device of a name as MegEngine writes it: `cpu0`, `cpux`, `xpux`, `multithread2:0`, each
    /// with an optional `:stream`.
    ///
    /// # Errors
    /// Device: another name, such as `gpu0`.
    pub fn parse(name: &str) -> Result<Device> {
        let base = name.split(':').next().unwrap_or("");
        let known = ["cpu", "xpu", "multithread"].iter().any(|kind| {
            base.strip_prefix(kind).is_some_and(|n| {
                n == "x"
                    || n == "default"
                    || (!n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
            })
        });
        if !known {
            bail!(
                Device,
                "device {name:?} is not available; this build has the CPU: cpu0, cpux, xpux"
            );
        }
        Ok(Device::Cpu)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cpu0")
    }
}
