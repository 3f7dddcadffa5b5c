//! What a pickle has built so far: nodes that refer to each other by number, so that they can be
//! shared and changed; at the end they become a tree.

use super::super::{Array, byte_count, from_raw, try_copy};
use super::{Global, Object, Value};
use crate::{DType, Result, bail, ensure};
use std::ops::Range;

/// The number of a node.
pub(super) type Id = u32;

/// How deep a tree may nest. Containers of the trees' users may then recurse.
pub(super) const MAX_DEPTH: usize = 256;

/// The longest name of a module, class or field. Shared names are looked at many times.
pub(super) const MAX_NAME: usize = 1024;

/// Bytes of the file, or bytes that an escape or an encoding made.
#[derive(Debug)]
pub(super) enum Data {
    Span(Range<usize>),
    Owned(Vec<u8>),
}

#[derive(Debug)]
pub(super) enum Node {
    None,
    Bool(bool),
    Int(i64),
    /// An integer beyond i64, as decimal text.
    Decimal(Range<usize>),
    /// An integer beyond i64, in little-endian two's complement.
    Binary(Range<usize>),
    Float(f64),
    Bytes(Data),
    /// UTF-8.
    Str(Data),
    /// A string of Python 2: text or bytes, as its user takes it.
    OldStr(Data),
    List(Vec<Id>),
    Tuple(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Set(Vec<Id>),
    Global {
        module: Id,
        name: Id,
    },
    Object(Box<ObjectNode>),
    Persistent(Id),
    Array(Box<ArrayNode>),
    /// Another name of a node.
    Alias(Id),
}

#[derive(Debug)]
pub(super) struct ObjectNode {
    /// Whether it is the result of a call, in place of a new instance.
    pub reduce: bool,
    pub class: Id,
    /// A tuple.
    pub args: Id,
    /// A dictionary.
    pub kwargs: Option<Id>,
    pub state: Option<Id>,
    pub items: Vec<Id>,
    pub pairs: Vec<(Id, Id)>,
}

#[derive(Debug)]
pub(super) struct ArrayNode {
    pub dtype: DType,
    pub big_endian: bool,
    pub fortran: bool,
    pub shape: Vec<usize>,
    /// Where the elements are: bytes of the length that dtype and shape ask for.
    pub data: Id,
}

/// The nodes of a pickle.
pub(super) struct Arena<'a> {
    input: &'a [u8],
    nodes: Vec<Node>,
    /// How many more values and bytes may be copied out of shared nodes: more than any file that
    /// holds data needs, but not exponentially more than the file is long.
    values_left: usize,
    bytes_left: usize,
}

impl<'a> Arena<'a> {
    pub fn new(input: &'a [u8]) -> Arena<'a> {
        Arena {
            input,
            nodes: Vec::new(),
            values_left: input.len().saturating_mul(8).saturating_add(1 << 20),
            bytes_left: input.len().saturating_mul(8).saturating_add(1 << 26),
        }
    }

    pub fn add(&mut self, node: Node) -> Result<Id> {
        match Id::try_from(self.nodes.len()) {
            Ok(id) => {
                push(&mut self.nodes, node)?;
                Ok(id)
            }
            Err(_) => bail!(Unsupported, "there are more than {} values", Id::MAX),
        }
    }

    /// The node, seen through aliases.
    pub fn get(&self, id: Id) -> &Node {
        let mut node = &self.nodes[id as usize];
        // An alias is newer than what it names, so this ends.
        while let Node::Alias(id) = node {
            node = &self.nodes[*id as usize];
        }
        node
    }

    /// The node itself, even if it is an alias.
    pub fn get_mut(&mut self, id: Id) -> &mut Node {
        &mut self.nodes[id as usize]
    }

    pub fn data<'s>(&'s self, data: &'s Data) -> &'s [u8] {
        match data {
            Data::Span(span) => &self.input[span.clone()],
            Data::Owned(bytes) => bytes,
        }
    }

    /// The text of a string that is short enough to be a name.
    pub fn name(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Node::Str(data) | Node::OldStr(data) if self.data(data).len() <= MAX_NAME => {
                self.text(id)
            }
            _ => None,
        }
    }

    /// The text of a string.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Node::Str(data) | Node::OldStr(data) => std::str::from_utf8(self.data(data)).ok(),
            _ => None,
        }
    }

    /// The elements of a tuple.
    pub fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Node::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// Module and name of a global.
    pub fn global(&self, id: Id) -> Option<(&str, &str)> {
        match self.get(id) {
            Node::Global { module, name } => Some((self.name(*module)?, self.name(*name)?)),
            _ => None,
        }
    }

    /// Allows for copies of shared nodes; see the fields.
    pub fn spend(&mut self, values: usize, bytes: usize) -> Result<()> {
        match (self.values_left.checked_sub(values), self.bytes_left.checked_sub(bytes)) {
            (Some(values), Some(bytes)) => {
                (self.values_left, self.bytes_left) = (values, bytes);
                Ok(())
            }
            _ => bail!(
                File,
                "values that are shared would take far more room than the file has; this is not a \
                 file of data"
            ),
        }
    }

    /// The tree under a node.
    pub fn tree(&mut self, root: Id) -> Result<Value> {
        struct Visit {
            id: Id,
            child: usize,
            built: Vec<Value>,
        }
        let mut open = super::super::try_with_capacity::<bool>(self.nodes.len())?;
        open.resize(self.nodes.len(), false);
        let mut path = Vec::with_capacity(MAX_DEPTH);
        path.push(Visit { id: root, child: 0, built: Vec::new() });
        loop {
            let depth = path.len();
            let Some(visit) = path.last_mut() else { bail!(File, "there is no value") };
            if let Some(child) = self.child(visit.id, visit.child) {
                visit.child += 1;
                open[visit.id as usize] = true;
                ensure!(!open[child as usize], File, "a value contains itself");
                ensure!(depth < MAX_DEPTH, File, "values nest more than {MAX_DEPTH} deep");
                path.push(Visit { id: child, child: 0, built: Vec::new() });
                continue;
            }
            let Some(done) = path.pop() else { bail!(File, "there is no value") };
            open[done.id as usize] = false;
            let value = self.assemble(done.id, done.built)?;
            match path.last_mut() {
                Some(parent) => push(&mut parent.built, value)?,
                None => return Ok(value),
            }
        }
    }

    /// The `k`-th value within a node.
    fn child(&self, id: Id, k: usize) -> Option<Id> {
        fn of_pairs(pairs: &[(Id, Id)], k: usize) -> Option<Id> {
            pairs.get(k / 2).map(|&(key, value)| if k.is_multiple_of(2) { key } else { value })
        }
        match &self.nodes[id as usize] {
            Node::List(items) | Node::Tuple(items) | Node::Set(items) => items.get(k).copied(),
            Node::Dict(pairs) => of_pairs(pairs, k),
            Node::Persistent(id) | Node::Alias(id) => (k == 0).then_some(*id),
            Node::Object(o) => {
                let head = [Some(o.class), Some(o.args), o.kwargs, o.state];
                let heads = head.iter().flatten().count();
                match k.checked_sub(heads) {
                    None => head.iter().flatten().nth(k).copied(),
                    Some(k) => match k.checked_sub(o.items.len()) {
                        None => o.items.get(k).copied(),
                        Some(k) => of_pairs(&o.pairs, k),
                    },
                }
            }
            _ => None,
        }
    }

    /// A node as a value, given the values within it.
    fn assemble(&mut self, id: Id, mut built: Vec<Value>) -> Result<Value> {
        let copied = match &self.nodes[id as usize] {
            Node::Bytes(data) | Node::Str(data) | Node::OldStr(data) => self.data(data).len(),
            Node::Decimal(span) => span.len(),
            Node::Binary(span) => 2 * span.len(),
            Node::Array(a) => byte_count(a.dtype, &a.shape)?,
            Node::Global { .. } => self.global(id).map_or(0, |(m, n)| m.len() + n.len()),
            _ => 0,
        };
        self.spend(1, copied)?;
        Ok(match &self.nodes[id as usize] {
            Node::None => Value::None,
            Node::Bool(b) => Value::Bool(*b),
            Node::Int(i) => Value::Int(*i),
            Node::Decimal(span) => Value::BigInt(utf8(try_copy(&self.input[span.clone()])?)?),
            Node::Binary(span) => Value::BigInt(hexadecimal(&self.input[span.clone()])?),
            Node::Float(f) => Value::Float(*f),
            Node::Bytes(data) => Value::Bytes(try_copy(self.data(data))?),
            Node::Str(data) => Value::Str(utf8(try_copy(self.data(data))?)?),
            Node::OldStr(data) => match String::from_utf8(try_copy(self.data(data))?) {
                Ok(text) => Value::Str(text),
                Err(e) => Value::Bytes(e.into_bytes()),
            },
            Node::List(_) => Value::List(built),
            Node::Tuple(_) => Value::Tuple(built),
            Node::Set(_) => Value::Set(built),
            Node::Dict(_) => Value::Dict(pairs(built)?),
            Node::Global { .. } => match self.global(id) {
                Some((module, name)) => {
                    Value::Global(Global { module: module.to_owned(), name: name.to_owned() })
                }
                None => bail!(File, "a global has no name"),
            },
            Node::Object(o) => {
                let rest = 2 + usize::from(o.kwargs.is_some()) + usize::from(o.state.is_some());
                let mut items = split_off(&mut built, rest)?;
                let pairs = pairs(split_off(&mut items, o.items.len())?)?;
                let state = if o.state.is_some() { built.pop() } else { None };
                let kwargs = match if o.kwargs.is_some() { built.pop() } else { None } {
                    Some(Value::Dict(pairs)) => pairs,
                    _ => Vec::new(),
                };
                let (Some(Value::Tuple(args)), Some(class)) = (built.pop(), built.pop()) else {
                    bail!(File, "the arguments of a call are not a tuple")
                };
                let object = Box::new(Object { class, args, kwargs, state, items, pairs });
                if o.reduce { Value::Reduce(object) } else { Value::Object(object) }
            }
            Node::Persistent(_) => Value::Persistent(Box::new(built.pop().unwrap_or(Value::None))),
            Node::Alias(_) => built.pop().unwrap_or(Value::None),
            Node::Array(a) => Value::Array(self.array(a)?),
        })
    }

    fn array(&self, a: &ArrayNode) -> Result<Array> {
        let (Node::Bytes(data) | Node::OldStr(data)) = self.get(a.data) else {
            bail!(File, "the data of an array is not bytes")
        };
        let data = try_copy(self.data(data))?;
        from_raw(a.dtype, a.shape.clone(), data, a.big_endian, a.fortran)
    }
}

/// Adds to a vector, or returns a memory error.
pub(super) fn push<T>(to: &mut Vec<T>, value: T) -> Result<()> {
    if to.try_reserve(1).is_err() {
        bail!(Memory, "no memory for {} values", to.len().saturating_add(1));
    }
    to.push(value);
    Ok(())
}

/// The part of a vector from `at`, with room of its own.
fn split_off(from: &mut Vec<Value>, at: usize) -> Result<Vec<Value>> {
    let at = at.min(from.len());
    let mut out = super::super::try_with_capacity(from.len() - at)?;
    out.extend(from.drain(at..));
    Ok(out)
}

fn pairs(flat: Vec<Value>) -> Result<Vec<(Value, Value)>> {
    let mut out = super::super::try_with_capacity(flat.len() / 2)?;
    let mut flat = flat.into_iter();
    while let (Some(key), Some(value)) = (flat.next(), flat.next()) {
        out.push((key, value));
    }
    Ok(out)
}

fn utf8(bytes: Vec<u8>) -> Result<String> {
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(_) => bail!(File, "a string is not UTF-8"),
    }
}

/// Little-endian two's complement as hexadecimal text with a sign.
fn hexadecimal(bytes: &[u8]) -> Result<String> {
    let negative = bytes.last().is_some_and(|&b| b >= 0x80);
    let mut magnitude = try_copy(bytes)?;
    if negative {
        let mut carry = true;
        for b in &mut magnitude {
            (*b, carry) = (!*b).overflowing_add(u8::from(carry));
        }
    }
    while magnitude.last() == Some(&0) {
        magnitude.pop();
    }
    let mut text = super::super::try_with_capacity(3 + 2 * magnitude.len())?;
    text.extend_from_slice(if negative { b"-0x" } else { b"0x" });
    for b in magnitude.iter().rev() {
        text.extend([b >> 4, b & 15].map(|d| b"0123456789abcdef"[usize::from(d)]));
    }
    utf8(text)
}
