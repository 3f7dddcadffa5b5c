//! Attributes: the fields of an operator as values of a few kinds, by which operators are listed,
//! compared, printed, written to files and made again.

use crate::shape::{MAX_DIMS, Shape};
use crate::{DType, Error, ErrorKind, Result, Scalar, bail, ensure};
use smallvec::{Array, SmallVec};
use std::fmt;

/// A value that a file can hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Value {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// The bits of an f64, so that NaN equals itself and −0 differs from 0.
    Float(u64),
    /// A name.
    Text(String),
    /// An element type.
    DType(DType),
    /// Several, in order.
    List(Vec<Value>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Bool(v) => write!(f, "{v}"),
            Value::Int(v) => write!(f, "{v}"),
            Value::Float(bits) => write!(f, "{:?}", f64::from_bits(*bits)),
            Value::Text(v) => f.write_str(v),
            Value::DType(v) => write!(f, "{v}"),
            Value::List(all) => {
                f.write_str("[")?;
                for (i, v) in all.iter().enumerate() {
                    write!(f, "{}{v}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str("]")
            }
        }
    }
}

/// What can be a field of an operator.
pub trait Attribute: Sized {
    /// The value that stands for it.
    fn to_value(&self) -> Value;
    /// What a value stands for.
    ///
    /// # Errors
    /// Value: it stands for nothing of this type.
    fn from_value(value: &Value) -> Result<Self>;
}

/// The attributes of an operator, from `#[derive(Attributes)]`.
pub trait Attributes {
    /// Names and values of the fields, in their order.
    fn attributes(&self) -> Vec<(&'static str, Value)>;
}

/// Making an operator from its attributes, from `#[derive(Attributes)]`.
pub trait FromAttributes: Sized {
    /// The operator whose attributes `reader` has.
    ///
    /// # Errors
    /// Value: an attribute is missing or of another kind.
    fn from_attributes(reader: &mut Reader<'_>) -> Result<Self>;
}

/// Values on their way into fields.
pub struct Reader<'a> {
    what: &'a str,
    source: Source<'a>,
    taken: usize,
}

enum Source<'a> {
    Named(&'a [(String, Value)]),
    Places(&'a [Value]),
}

impl<'a> Reader<'a> {
    /// Attributes of the operator `what`, by name.
    pub fn named(what: &'a str, attributes: &'a [(String, Value)]) -> Reader<'a> {
        Reader { what, source: Source::Named(attributes), taken: 0 }
    }

    fn places(what: &'a str, values: &'a [Value]) -> Reader<'a> {
        Reader { what, source: Source::Places(values), taken: 0 }
    }

    /// The attribute of a name; of values without names, the next one.
    ///
    /// # Errors
    /// Value: there is none, or it is of another kind.
    pub fn field<T: Attribute>(&mut self, name: &str) -> Result<T> {
        let found = match self.source {
            Source::Named(all) => all.iter().find(|(n, _)| n == name).map(|(_, v)| v),
            Source::Places(all) => all.get(self.taken),
        };
        let Some(value) = found else { bail!(Value, "{}: attribute {name} is missing", self.what) };
        self.taken += 1;
        T::from_value(value).map_err(|e| e.context(format_args!("{}: attribute {name}", self.what)))
    }

    /// The next value.
    ///
    /// # Errors
    /// As [`Reader::field`].
    pub fn take<T: Attribute>(&mut self) -> Result<T> {
        self.field("")
    }

    /// That an enum has no variant of this name.
    pub fn unknown(&self, name: &str) -> Error {
        Error::new(ErrorKind::Value, format!("{name} is none of the values it can have"))
    }

    /// Checks that every value was taken.
    ///
    /// # Errors
    /// Value: some were not.
    pub fn finish(&self) -> Result<()> {
        let given = match self.source {
            Source::Named(all) => all.len(),
            Source::Places(all) => all.len(),
        };
        let (what, taken) = (self.what, self.taken);
        ensure!(given == taken, Value, "{what}: {given} attributes where it has {taken}");
        Ok(())
    }
}

/// A struct as the list of its fields.
pub fn record(of: &impl Attributes) -> Value {
    Value::List(of.attributes().into_iter().map(|(_, v)| v).collect())
}

/// The struct of a [`record`].
///
/// # Errors
/// Value: it is none.
pub fn from_record<T: FromAttributes>(value: &Value) -> Result<T> {
    let Value::List(all) = value else { return Err(wrong(value, "a list")) };
    let mut reader = Reader::places("record", all);
    let made = T::from_attributes(&mut reader)?;
    reader.finish()?;
    Ok(made)
}

/// A variant of an enum: its name, in a list with its fields if it has some.
pub fn variant(name: &str, fields: Vec<Value>) -> Value {
    let name = Value::Text(name.into());
    if fields.is_empty() {
        return name;
    }
    Value::List([name].into_iter().chain(fields).collect())
}

/// The enum of a [`variant`]: `make` is given the name, and the fields to read.
///
/// # Errors
/// Value: it is none.
pub fn from_variant<T>(
    value: &Value,
    make: impl FnOnce(&str, &mut Reader<'_>) -> Result<T>,
) -> Result<T> {
    let (name, fields) = match value {
        Value::Text(name) => (name, &[][..]),
        Value::List(all) => match all.split_first() {
            Some((Value::Text(name), fields)) => (name, fields),
            _ => return Err(wrong(value, "a name with fields")),
        },
        _ => return Err(wrong(value, "a name")),
    };
    let mut reader = Reader::places(name, fields);
    let made = make(name, &mut reader)?;
    reader.finish()?;
    Ok(made)
}

#[cold]
fn wrong(value: &Value, wanted: &str) -> Error {
    let mut text = value.to_string();
    if text.len() > 80 {
        let end = (0..=80).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    Error::new(ErrorKind::Value, format!("{text} is not {wanted}"))
}

impl Attribute for bool {
    fn to_value(&self) -> Value {
        Value::Bool(*self)
    }
    fn from_value(value: &Value) -> Result<Self> {
        if let Value::Bool(v) = value { Ok(*v) } else { Err(wrong(value, "true or false")) }
    }
}

impl Attribute for f64 {
    fn to_value(&self) -> Value {
        Value::Float(self.to_bits())
    }
    fn from_value(value: &Value) -> Result<Self> {
        if let Value::Float(v) = value {
            Ok(f64::from_bits(*v))
        } else {
            Err(wrong(value, "a float"))
        }
    }
}

impl Attribute for Scalar {
    fn to_value(&self) -> Value {
        match self {
            Scalar::Bool(v) => v.to_value(),
            Scalar::Int(v) => v.to_value(),
            Scalar::Float(v) => v.to_value(),
        }
    }
    fn from_value(value: &Value) -> Result<Self> {
        match value {
            Value::Bool(v) => Ok(Scalar::Bool(*v)),
            Value::Int(v) => Ok(Scalar::Int(*v)),
            Value::Float(v) => Ok(Scalar::Float(f64::from_bits(*v))),
            _ => Err(wrong(value, "a number")),
        }
    }
}

impl Attribute for String {
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }
    fn from_value(value: &Value) -> Result<Self> {
        if let Value::Text(v) = value { Ok(v.clone()) } else { Err(wrong(value, "a text")) }
    }
}

impl Attribute for DType {
    fn to_value(&self) -> Value {
        Value::DType(*self)
    }
    fn from_value(value: &Value) -> Result<Self> {
        if let Value::DType(v) = value { Ok(*v) } else { Err(wrong(value, "a dtype")) }
    }
}

macro_rules! ints {
    ($($t:ty),*) => {$(
        impl Attribute for $t {
            /// Numbers beyond i64 are given by their bits.
            fn to_value(&self) -> Value {
                Value::Int(*self as i64)
            }
            fn from_value(value: &Value) -> Result<Self> {
                match value {
                    Value::Int(v) if (*v as $t) as i64 == *v => Ok(*v as $t),
                    _ => Err(wrong(value, concat!("a ", stringify!($t)))),
                }
            }
        }
    )*};
}
ints!(u8, u16, u32, u64, i32, i64);

/// Extents and places are never negative.
impl Attribute for usize {
    fn to_value(&self) -> Value {
        Value::Int(*self as i64)
    }
    fn from_value(value: &Value) -> Result<Self> {
        let v = if let Value::Int(v) = value { usize::try_from(*v).ok() } else { None };
        v.ok_or_else(|| wrong(value, "a count"))
    }
}

impl Attribute for isize {
    fn to_value(&self) -> Value {
        Value::Int(*self as i64)
    }
    fn from_value(value: &Value) -> Result<Self> {
        let v = if let Value::Int(v) = value { isize::try_from(*v).ok() } else { None };
        v.ok_or_else(|| wrong(value, "a whole number"))
    }
}

fn list(value: &Value) -> Result<&[Value]> {
    if let Value::List(all) = value { Ok(all) } else { Err(wrong(value, "a list")) }
}

impl<T: Attribute> Attribute for Vec<T> {
    fn to_value(&self) -> Value {
        Value::List(self.iter().map(T::to_value).collect())
    }
    fn from_value(value: &Value) -> Result<Self> {
        list(value)?.iter().map(T::from_value).collect()
    }
}

impl<A: Array<Item: Attribute>> Attribute for SmallVec<A> {
    fn to_value(&self) -> Value {
        Value::List(self.iter().map(A::Item::to_value).collect())
    }
    fn from_value(value: &Value) -> Result<Self> {
        list(value)?.iter().map(A::Item::from_value).collect()
    }
}

impl<T: Attribute, const N: usize> Attribute for [T; N] {
    fn to_value(&self) -> Value {
        Value::List(self.iter().map(T::to_value).collect())
    }
    fn from_value(value: &Value) -> Result<Self> {
        let all = list(value)?.iter().map(T::from_value).collect::<Result<Vec<T>>>()?;
        all.try_into().map_err(|_| wrong(value, &format!("a list of {N}")))
    }
}

impl<A: Attribute, B: Attribute> Attribute for (A, B) {
    fn to_value(&self) -> Value {
        Value::List(vec![self.0.to_value(), self.1.to_value()])
    }
    fn from_value(value: &Value) -> Result<Self> {
        let [a, b] = list(value)? else { return Err(wrong(value, "a pair")) };
        Ok((A::from_value(a)?, B::from_value(b)?))
    }
}

/// A list of none or one.
impl<T: Attribute> Attribute for Option<T> {
    fn to_value(&self) -> Value {
        Value::List(self.iter().map(T::to_value).collect())
    }
    fn from_value(value: &Value) -> Result<Self> {
        match list(value)? {
            [] => Ok(None),
            [one] => Ok(Some(T::from_value(one)?)),
            _ => Err(wrong(value, "none or one")),
        }
    }
}

impl Attribute for Shape {
    fn to_value(&self) -> Value {
        Value::List(self.iter().map(usize::to_value).collect())
    }
    fn from_value(value: &Value) -> Result<Self> {
        Shape::new(&SmallVec::<[usize; MAX_DIMS]>::from_value(value)?)
    }
}
