//! What the fields of a module may be.

use super::base::Base;
use super::module::{Layer, Member, Module};
use super::param::{Buffer, Parameter};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

/// A field of a module: it names the parameters, buffers and modules that it holds to a visitor.
/// Lists and maps name their elements `field.0`, `field.key`. Settings (numbers, strings) hold
/// nothing; a field of another type is marked `#[module(skip)]`.
pub trait Field {
    /// Calls `visit` with each member and its dotted name, which starts with the field's `name`.
    fn visit_field<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&str, Member<'a>));
}

/// A field that a module without a [`Base`] of its own can keep its state with.
pub trait Anchor {
    /// The field's own state.
    fn anchor(&self) -> &Base;
}

impl Field for Parameter {
    fn visit_field<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&str, Member<'a>)) {
        visit(name, Member::Parameter(self));
    }
}
impl Anchor for Parameter {
    fn anchor(&self) -> &Base {
        self.base()
    }
}

impl Field for Buffer {
    fn visit_field<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&str, Member<'a>)) {
        visit(name, Member::Buffer(self));
    }
}
impl Anchor for Buffer {
    fn anchor(&self) -> &Base {
        self.base()
    }
}

impl Field for Base {
    fn visit_field<'a>(&'a self, _: &str, _: &mut dyn FnMut(&str, Member<'a>)) {}
}

impl Field for dyn Module + '_ {
    fn visit_field<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&str, Member<'a>)) {
        visit(name, Member::Module(self.as_module()));
    }
}
impl Anchor for dyn Module + '_ {
    fn anchor(&self) -> &Base {
        self.base()
    }
}
impl Field for dyn Layer + '_ {
    fn visit_field<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&str, Member<'a>)) {
        visit(name, Member::Module(self.as_module()));
    }
}
impl Anchor for dyn Layer + '_ {
    fn anchor(&self) -> &Base {
        self.base()
    }
}

impl<T: Field + ?Sized> Field for Box<T> {
    fn visit_field<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&str, Member<'a>)) {
        (**self).visit_field(name, visit);
    }
}
impl<T: Anchor + ?Sized> Anchor for Box<T> {
    fn anchor(&self) -> &Base {
        (**self).anchor()
    }
}
impl<T: Field + ?Sized> Field for Arc<T> {
    fn visit_field<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&str, Member<'a>)) {
        (**self).visit_field(name, visit);
    }
}
impl<T: Anchor + ?Sized> Anchor for Arc<T> {
    fn anchor(&self) -> &Base {
        (**self).anchor()
    }
}

impl<T: Field> Field for Option<T> {
    fn visit_field<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&str, Member<'a>)) {
        if let Some(inner) = self {
            inner.visit_field(name, visit);
        }
    }
}

impl<T: Field> Field for [T] {
    fn visit_field<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&str, Member<'a>)) {
        for (i, item) in self.iter().enumerate() {
            item.visit_field(&format!("{name}.{i}"), visit);
        }
    }
}
impl<T: Field> Field for Vec<T> {
    fn visit_field<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&str, Member<'a>)) {
        self.as_slice().visit_field(name, visit);
    }
}
impl<T: Field, const N: usize> Field for [T; N] {
    fn visit_field<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&str, Member<'a>)) {
        self.as_slice().visit_field(name, visit);
    }
}

impl<T: Field> Field for BTreeMap<String, T> {
    fn visit_field<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&str, Member<'a>)) {
        for (key, item) in self {
            item.visit_field(&format!("{name}.{key}"), visit);
        }
    }
}

macro_rules! tuples {
    ($(($($t:ident $i:tt),+))*) => {$(
        impl<$($t: Field),+> Field for ($($t,)+) {
            fn visit_field<'a>(&'a self, name: &str, visit: &mut dyn FnMut(&str, Member<'a>)) {
                $(self.$i.visit_field(&format!("{name}.{}", $i), visit);)+
            }
        }
    )*};
}
tuples! { (A 0) (A 0, B 1) (A 0, B 1, C 2) (A 0, B 1, C 2, D 3) }

macro_rules! settings {
    ($($t:ty),*) => {$(
        impl Field for $t {
            fn visit_field<'a>(&'a self, _: &str, _: &mut dyn FnMut(&str, Member<'a>)) {}
        }
    )*};
}
settings!(
    bool,
    char,
    u8,
    u16,
    u32,
    u64,
    usize,
    i8,
    i16,
    i32,
    i64,
    isize,
    f32,
    f64,
    String,
    &'static str,
    tengen_core::DType,
    tengen_core::Shape,
    tengen_core::ops::ConvParams
);
impl<T: ?Sized> Field for PhantomData<T> {
    fn visit_field<'a>(&'a self, _: &str, _: &mut dyn FnMut(&str, Member<'a>)) {}
}
