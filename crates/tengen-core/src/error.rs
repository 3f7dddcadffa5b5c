//! The one error type.

use std::fmt;
use std::sync::Arc;

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
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// A result with Tengen's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error of the given kind.
    #[cold]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), source: None }))
    }

    /// An error of the given kind that stands for another one, which
    /// [`source`](std::error::Error::source) gives back as it is: what code of a user's own fails
    /// with passes through the engine like this.
    ///
    /// ```
    /// use std::error::Error as _;
    /// use tengen_core::{Error, ErrorKind};
    /// let e = Error::from_source(ErrorKind::Value, std::fmt::Error).context("a callback");
    /// assert!(e.source().is_some_and(|s| s.is::<std::fmt::Error>()));
    /// ```
    #[cold]
    pub fn from_source(
        kind: ErrorKind,
        source: impl std::error::Error + Send + Sync + 'static,
    ) -> Self {
        let message = source.to_string();
        Self(Box::new(Inner { kind, message, source: Some(Arc::new(source)) }))
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

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as &(dyn std::error::Error + 'static))
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
