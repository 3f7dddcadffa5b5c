//! Modules behind pointers are the modules that they point to.

use super::{Base, Forward, Member, Module};
use std::sync::Arc;
use tengen_core::Result;

macro_rules! pointers {
    ($($pointer:ident),*) => {$(
        impl<T: Module + ?Sized> Module for $pointer<T> {
            fn base(&self) -> &Base {
                (**self).base()
            }
            fn visit<'a>(&'a self, visit: &mut dyn FnMut(&str, Member<'a>)) {
                (**self).visit(visit);
            }
            fn as_module(&self) -> &dyn Module {
                (**self).as_module()
            }
            fn type_name(&self) -> &'static str {
                (**self).type_name()
            }
            fn declared(&self) -> &'static [&'static str] {
                (**self).declared()
            }
            fn info(&self) -> String {
                (**self).info()
            }
            fn flattens_state(&self) -> bool {
                (**self).flattens_state()
            }
            fn describe(&self) -> String {
                (**self).describe()
            }
        }

        impl<T: Forward + ?Sized> Forward for $pointer<T> {
            type Input = T::Input;
            type Output = T::Output;
            fn forward(&self, inputs: &Self::Input) -> Result<Self::Output> {
                (**self).forward(inputs)
            }
        }
    )*};
}
pointers!(Box, Arc);
