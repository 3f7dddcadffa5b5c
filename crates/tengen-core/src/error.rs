//! The one error type.

use std::fmt;

/// What went wrong, in few kinds: enough for a caller to react, and for the Python face to choose
/// an exception class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Shapes do not fit together, or a shape is impossible.
    Shape,
    /// A dtype that the operator does not take.
    DType,
    /// An unknown or mismatching device.
    Device,
    /// An axis or an index is out of range.
    Index,
    /// An argument's value is out of its domain.
    Value,
    /// A file cannot be read, written or understood.
    File,
    /// The request is valid but this version does not do it.
    Unsupported,
    /// Memory could not be had.
    Memory,
}

/// An error with its kind and a message that names the operator, the argument and what would be
/// right.
#[derive(Clone, thiserror::Error)]
#[error("{}", .0.message)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
}

/// A result with Tengen's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of the given kind.
    #[cold]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into() }))
    }

    /// What kind of error this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The same error with `context` and a colon in front of its message.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.0.message = format!("{context}: {}", self.0.message);
        self
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} error: {}", self.0.kind, self.0.message)
    }
}

impl From<std::io::Error> for Error {
    fn from(e: std::io::Error) -> Self {
        Error::new(ErrorKind::File, e.to_string())
    }
}

/// Returns early with an [`Error`]: `bail!(Shape, "add: {} against {}", a, b)`.
#[macro_export]
macro_rules! bail {
    ($kind:ident, $($message:tt)*) => {
        return Err($crate::Error::new($crate::ErrorKind::$kind, format!($($message)*)))
    };
}

/// [`bail!`]s unless the condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $kind:ident, $($message:tt)*) => {
        if $condition {
        } else {
            $crate::bail!($kind, $($message)*)
        }
    };
}
