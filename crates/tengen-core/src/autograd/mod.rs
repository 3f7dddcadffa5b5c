//! Reverse-mode automatic differentiation.
//!
//! A thread's tape lives while at least one [`GradManager`] of that thread records on it. An
//! operator whose inputs are tracked appends a node; a tracked tensor's handle names its value on
//! the tape. When the last manager stops, the tape is dropped with all that it saved, and handles
//! that still name it count as constants. Where recording is paused, as in a backward pass and in
//! [`without_recording`], a manager that starts gets a tape of its own, on which the values of the
//! paused one are constants; when it stops, the pause goes on.
//!
//! A manager that stops on another thread cannot reach the tape. It counts itself off, and the
//! tape's thread drops the tape at its next operator.

mod gradient;
mod manager;
mod tape;
mod var;

pub use gradient::Gradient;
pub use manager::{BackwardPass, Callback, GradManager};
pub(crate) use tape::{NodeRef, is_tracked, record};
pub use tape::{is_recording, without_recording};
pub use var::Var;
