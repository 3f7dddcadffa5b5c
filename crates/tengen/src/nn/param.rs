//! What modules hold: parameters, which optimizers update, and buffers, which they do not.

use super::base::Base;
use std::ops::Deref;
use std::sync::Arc;
use tengen_core::{Tensor, Var};

macro_rules! held {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name(Arc<Held>);

        impl $name {
            /// A new variable with this value.
            pub fn new(value: Tensor) -> Self {
                Self(Arc::new(Held { var: Var::new(value), base: Base::new() }))
            }

            /// The variable: for optimizers and gradient managers.
            pub fn var(&self) -> &Var {
                &self.0.var
            }

            /// Where a module whose first field this is keeps its state.
            #[doc(hidden)]
            pub fn base(&self) -> &Base {
                &self.0.base
            }
        }

        impl Deref for $name {
            type Target = Var;
            fn deref(&self) -> &Var {
                &self.0.var
            }
        }

        impl From<Tensor> for $name {
            fn from(value: Tensor) -> Self {
                Self::new(value)
            }
        }
    };
}

#[derive(Debug)]
struct Held {
    var: Var,
    base: Base,
}

held! {
    /// A tensor that training changes. Clones are the same parameter.
    Parameter
}
held! {
    /// A tensor that belongs to a module's state but that optimizers leave alone, such as running
    /// statistics. Clones are the same buffer.
    Buffer
}
