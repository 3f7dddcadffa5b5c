//! Reverse-mode automatic differentiation.
//!
//! Each thread has one tape, which lives while at least one [`GradManager`] of that thread
//! records. An operator whose inputs are tracked appends a node; a tracked tensor's handle names
//! its value on the tape. When the last manager stops, the tape is dropped with all that it saved,
//! and handles that still name it count as constants.

mod manager;
mod tape;
mod var;

pub use manager::{Callback, GradManager};
pub use tape::{Gradient, is_recording, without_recording};
pub(crate) use tape::{NodeRef, is_tracked, record};
pub use var::Var;
