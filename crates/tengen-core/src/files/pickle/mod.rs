//! Pickle files, read without running anything.
//!
//! A pickle is a program for a small machine that can import and call whatever it names. This reader
//! runs the part of it that builds data. What would import becomes a [`Value::Global`], what would
//! call a [`Value::Reduce`] and what would make an instance a [`Value::Object`], all of them inert.
//! NumPy arrays and MegEngine tensors become [`Value::Array`].
//!
//! All protocols, 0 to 5, are read. Nothing a file says makes this take memory or time out of
//! proportion to its length, or recurse without bound.

mod arena;
mod known;
mod machine;
#[cfg(test)]
mod tests;
mod text;

use super::{Array, read_file};
use crate::{Result, bail, ensure};
use std::fmt;
use std::path::Path;

/// What a pickle holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `None`.
    None,
    /// A bool.
    Bool(bool),
    /// An integer that fits.
    Int(i64),
    /// An integer that does not fit i64, as text that Python's `int(text, 0)` reads: decimal or
    /// hexadecimal.
    BigInt(String),
    /// A float.
    Float(f64),
    /// Bytes or a bytearray, or a string of Python 2 that is not UTF-8.
    Bytes(Vec<u8>),
    /// A string.
    Str(String),
    /// A list.
    List(Vec<Value>),
    /// A tuple.
    Tuple(Vec<Value>),
    /// A dictionary or an OrderedDict, in the order of the file. Of equal keys the last counts.
    Dict(Vec<(Value, Value)>),
    /// A set or a frozenset.
    Set(Vec<Value>),
    /// A class or function, by name.
    Global(Global),
    /// The result of a call that was not made; the callable is the object's class.
    Reduce(Box<Object>),
    /// An instance that was not made.
    Object(Box<Object>),
    /// An object outside of the file, by its key there.
    Persistent(Box<Value>),
    /// A NumPy array or scalar, or a MegEngine tensor.
    Array(Array),
}

/// The name of something that Python would import.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Global {
    /// The module, dotted.
    pub module: String,
    /// The name within it.
    pub name: String,
}

impl fmt::Display for Global {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.module, self.name)
    }
}

/// How Python would make an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The class or callable; a [`Value::Global`] unless it is itself made.
    pub class: Value,
    /// The arguments.
    pub args: Vec<Value>,
    /// The arguments by keyword.
    pub kwargs: Vec<(Value, Value)>,
    /// The state that it is given, often a dictionary of its attributes.
    pub state: Option<Value>,
    /// What is appended to it.
    pub items: Vec<Value>,
    /// What is set in it, as in a dictionary.
    pub pairs: Vec<(Value, Value)>,
}

/// The total length of the names that [`Value::tensors`] gives out.
const MAX_NAMES: usize = 1 << 26;

/// Reads the bytes of a file; what follows the end of the pickle is ignored, as Python does.
///
/// # Errors
/// [`File`](crate::ErrorKind::File) if it is not a complete pickle: the message tells the position
/// of the instruction that is wrong. [`Unsupported`](crate::ErrorKind::Unsupported) for arrays of
/// types that no [`DType`](crate::DType) matches, and for data that is kept elsewhere.
/// [`Memory`](crate::ErrorKind::Memory) if there is no memory.
///
/// ```
/// use tengen_core::files::pickle::{self, Value};
/// let value = pickle::read(b"\x80\x02}q\x00X\x05\x00\x00\x00epochq\x01K\x03s.")?;
/// assert_eq!(value.get("epoch"), Some(&Value::Int(3)));
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn read(bytes: &[u8]) -> Result<Value> {
    machine::run(bytes)
}

/// Reads a file.
///
/// # Errors
/// As [`read`]; they name the path.
pub fn load(path: impl AsRef<Path>) -> Result<Value> {
    let path = path.as_ref();
    read(&read_file(path)?).map_err(|e| e.context(path.display()))
}

impl Value {
    /// The value under a string key of a dictionary, or an attribute of an object whose state is a
    /// dictionary.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let pairs = match self {
            Value::Dict(pairs) => pairs,
            Value::Reduce(object) | Value::Object(object) => match &object.state {
                Some(Value::Dict(pairs)) => pairs,
                _ => return None,
            },
            _ => return None,
        };
        pairs.iter().rev().find(|(k, _)| k.as_str() == Some(key)).map(|(_, value)| value)
    }

    /// The text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is an integer.
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            Value::Int(n) => Some(*n),
            _ => None,
        }
    }

    /// The number, if it is a float or an integer.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Float(f) => Some(*f),
            Value::Int(n) => Some(*n as f64),
            _ => None,
        }
    }

    /// The array, if it is one.
    pub fn as_array(&self) -> Option<&Array> {
        match self {
            Value::Array(array) => Some(array),
            _ => None,
        }
    }

    /// Checks that there is only data: no class, function, instance or call anywhere.
    ///
    /// # Errors
    /// [`File`](crate::ErrorKind::File), naming the first thing that is not data.
    ///
    /// ```
    /// let value = tengen_core::files::pickle::read(b"cos\nsystem\n(S'ls'\ntR.")?;
    /// let error = value.require_inert().unwrap_err();
    /// assert!(error.to_string().contains("os.system"));
    /// # Ok::<(), tengen_core::Error>(())
    /// ```
    pub fn require_inert(&self) -> Result<()> {
        self.require_known(|_| false)
    }

    /// Checks that there are only data and classes or functions that `allowed` accepts.
    ///
    /// # Errors
    /// [`File`](crate::ErrorKind::File), naming the first that is not accepted.
    pub fn require_known(&self, allowed: impl Fn(&Global) -> bool) -> Result<()> {
        let mut open = vec![self];
        while let Some(value) = open.pop() {
            match value {
                Value::Global(global) => ensure!(
                    allowed(global),
                    File,
                    "pickle: the file refers to {global}, which is not data"
                ),
                Value::Persistent(key) => {
                    bail!(File, "pickle: the file refers to an object outside of it, {key:.80?}")
                }
                _ => {}
            }
            // The last pushed comes first, so that the file's order is kept.
            let from = open.len();
            value.for_each_child(|child| open.push(child));
            open[from..].reverse();
        }
        Ok(())
    }

    /// Calls `f` with every value that this one directly holds, in order.
    fn for_each_child<'a>(&'a self, mut f: impl FnMut(&'a Value)) {
        let of_pairs = |pairs: &'a [(Value, Value)], f: &mut dyn FnMut(&'a Value)| {
            for (key, value) in pairs {
                f(key);
                f(value);
            }
        };
        match self {
            Value::List(items) | Value::Tuple(items) | Value::Set(items) => {
                items.iter().for_each(f)
            }
            Value::Dict(pairs) => of_pairs(pairs, &mut f),
            Value::Reduce(object) | Value::Object(object) => {
                f(&object.class);
                object.args.iter().for_each(&mut f);
                of_pairs(&object.kwargs, &mut f);
                object.state.iter().for_each(&mut f);
                object.items.iter().for_each(&mut f);
                of_pairs(&object.pairs, &mut f);
            }
            Value::Persistent(key) => f(key),
            _ => {}
        }
    }

    /// Every array by its dotted path, in the order of the file: keys of dictionaries, positions in
    /// lists and tuples, attributes of objects. A single array has the empty path. Values under
    /// keys that are neither strings nor integers are left out.
    ///
    /// # Errors
    /// [`File`](crate::ErrorKind::File) if the paths together are longer than 64 MiB.
    ///
    /// ```no_run
    /// let checkpoint = tengen_core::files::pickle::load("checkpoint.pkl")?;
    /// for (path, array) in checkpoint.tensors()? {
    ///     println!("{path}: {}{:?}", array.dtype, array.shape);
    /// }
    /// # Ok::<(), tengen_core::Error>(())
    /// ```
    pub fn tensors(&self) -> Result<Vec<(String, &Array)>> {
        let mut found = Vec::new();
        let mut paths = Paths { open: vec![(String::new(), self)], length: 0 };
        while let Some((path, value)) = paths.open.pop() {
            let from = paths.open.len();
            match value {
                Value::Array(array) => found.push((path, array)),
                Value::Dict(pairs) => paths.enter_pairs(&path, pairs)?,
                Value::List(items) | Value::Tuple(items) => paths.enter_items(&path, items)?,
                Value::Reduce(object) | Value::Object(object) => {
                    if let Some(Value::Dict(pairs)) = &object.state {
                        paths.enter_pairs(&path, pairs)?;
                    }
                    paths.enter_pairs(&path, &object.pairs)?;
                    paths.enter_items(&path, &object.items)?;
                }
                _ => {}
            }
            // The last pushed comes first, so that the file's order is kept.
            paths.open[from..].reverse();
        }
        Ok(found)
    }
}

/// Values that are still to be looked at, with their paths.
struct Paths<'a> {
    open: Vec<(String, &'a Value)>,
    /// The length of all paths so far.
    length: usize,
}

impl<'a> Paths<'a> {
    fn enter(&mut self, path: &str, key: impl fmt::Display, child: &'a Value) -> Result<()> {
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{key}");
        self.length += path.len();
        ensure!(
            self.length <= MAX_NAMES,
            File,
            "pickle: the names of the arrays are longer than {MAX_NAMES} bytes"
        );
        self.open.push((path, child));
        Ok(())
    }

    fn enter_pairs(&mut self, path: &str, pairs: &'a [(Value, Value)]) -> Result<()> {
        pairs.iter().try_for_each(|(key, child)| match key {
            Value::Str(key) => self.enter(path, key, child),
            Value::Int(key) => self.enter(path, key, child),
            _ => Ok(()),
        })
    }

    fn enter_items(&mut self, path: &str, items: &'a [Value]) -> Result<()> {
        items.iter().enumerate().try_for_each(|(i, child)| self.enter(path, i, child))
    }
}
