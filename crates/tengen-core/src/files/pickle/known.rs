//! The callables and classes whose meaning is data: containers, bytes, NumPy arrays and MegEngine
//! tensors. They are recognised by name, and what they would make is built here.

use super::super::{byte_count, numpy_dtype};
use super::arena::{Arena, ArrayNode, Data, Id, Node, ObjectNode};
use crate::{DType, Result, bail, ensure};

/// NumPy allows no more dimensions.
const MAX_DIMS: usize = 64;

/// What calling `callable` with `args` makes, if it is known to be data.
pub(super) fn call(arena: &mut Arena, callable: Id, args: Id) -> Result<Option<Node>> {
    let (Some((module, name)), Some(items)) = (arena.global(callable), arena.tuple(args)) else {
        return Ok(None);
    };
    Ok(match (module, name, items) {
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar", &[dtype, data]) => {
            Some(array(arena, dtype, Vec::new(), false, data)?)
        }
        (
            "numpy.core.numeric" | "numpy._core.numeric",
            "_frombuffer",
            &[data, dtype, shape, order],
        ) => {
            let shape = lengths(arena, shape)?;
            let fortran = match arena.name(order) {
                Some("C") => false,
                Some("F") => true,
                _ => bail!(File, "the order of an array is neither C nor F"),
            };
            Some(array(arena, dtype, shape, fortran, data)?)
        }
        ("_codecs", "encode", &[text, encoding]) => match arena.name(encoding) {
            Some("latin1") => Some(Node::Bytes(Data::Owned(latin1(arena, text)?))),
            _ => None,
        },
        ("builtins" | "__builtin__", "bytes" | "bytearray", &[]) => {
            Some(Node::Bytes(Data::Owned(Vec::new())))
        }
        ("builtins" | "__builtin__", "bytes" | "bytearray", &[data])
            if matches!(arena.get(data), Node::Bytes(_)) =>
        {
            Some(Node::Alias(data))
        }
        ("builtins" | "__builtin__", "set" | "frozenset", &[]) => Some(Node::Set(Vec::new())),
        ("builtins" | "__builtin__", "set" | "frozenset", &[list]) => match arena.get(list) {
            Node::List(items) => {
                let n = items.len();
                arena.spend(n, 0)?;
                let Node::List(items) = arena.get(list) else { return Ok(None) };
                Some(Node::Set(items.clone()))
            }
            _ => None,
        },
        ("collections", "OrderedDict", &[]) => Some(Node::Dict(Vec::new())),
        ("collections", "OrderedDict", &[list]) => pairs(arena, list)?.map(Node::Dict),
        ("copyreg" | "copy_reg", "_reconstructor", &[class, base, state])
            if matches!(arena.global(base), Some(("builtins" | "__builtin__", "object")))
                && matches!(arena.get(state), Node::None) =>
        {
            let args = arena.add(Node::Tuple(Vec::new()))?;
            Some(Node::Object(Box::new(ObjectNode {
                reduce: false,
                class,
                args,
                kwargs: None,
                state: None,
                items: Vec::new(),
                pairs: Vec::new(),
            })))
        }
        _ => None,
    })
}

/// What a new instance of `class` is, if it is known to be data.
pub(super) fn instance(arena: &Arena, class: Id, args: Id) -> Option<Node> {
    match (arena.global(class)?, arena.tuple(args)?) {
        // The other arguments are the dtype, which the array has, and the device.
        (("megengine.tensor", "Tensor" | "Parameter"), &[data, ..]) => {
            matches!(arena.get(data), Node::Array(_)).then_some(Node::Alias(data))
        }
        _ => None,
    }
}

/// What an object becomes when it gets this state, if it is known to be data.
pub(super) fn with_state(arena: &Arena, object: &ObjectNode, state: Id) -> Result<Option<Node>> {
    let class = arena.global(object.class);
    let made = arena.tuple(object.args).and_then(|args| arena.global(*args.first()?));
    if !matches!(class, Some(("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct")))
        || made != Some(("numpy", "ndarray"))
    {
        return Ok(None);
    }
    let Some(&[_, shape, dtype, fortran, data]) = arena.tuple(state) else {
        bail!(File, "the state of an array is not a tuple of five");
    };
    let fortran = match arena.get(fortran) {
        Node::Bool(fortran) => *fortran,
        Node::Int(fortran) => *fortran != 0,
        _ => bail!(File, "the order of an array is not a bool"),
    };
    array(arena, dtype, lengths(arena, shape)?, fortran, data).map(Some)
}

/// The shape that a tuple of integers, or an integer, is.
fn lengths(arena: &Arena, shape: Id) -> Result<Vec<usize>> {
    let one = [shape];
    let items = arena.tuple(shape).unwrap_or(&one);
    ensure!(items.len() <= MAX_DIMS, File, "an array has {} dimensions", items.len());
    let length = |&id: &Id| match arena.get(id) {
        Node::Int(n) => usize::try_from(*n).ok(),
        _ => None,
    };
    match items.iter().map(length).collect() {
        Some(shape) => Ok(shape),
        None => bail!(File, "the shape of an array is not a tuple of lengths"),
    }
}

fn array(arena: &Arena, dtype: Id, shape: Vec<usize>, fortran: bool, data: Id) -> Result<Node> {
    let (dtype, big_endian) = array_dtype(arena, dtype)?;
    let (Node::Bytes(bytes) | Node::OldStr(bytes)) = arena.get(data) else {
        bail!(File, "the data of an array is not bytes");
    };
    let (length, needed) = (arena.data(bytes).len(), byte_count(dtype, &shape)?);
    ensure!(
        length == needed,
        File,
        "an array {dtype}{shape:?} needs {needed} bytes of data but has {length}"
    );
    Ok(Node::Array(Box::new(ArrayNode { dtype, big_endian, fortran, shape, data })))
}

/// The dtype that a `numpy.dtype` object means, and whether it is big-endian.
fn array_dtype(arena: &Arena, id: Id) -> Result<(DType, bool)> {
    let Node::Object(object) = arena.get(id) else {
        bail!(File, "the dtype of an array is not a numpy.dtype");
    };
    ensure!(
        arena.global(object.class) == Some(("numpy", "dtype")),
        File,
        "the dtype of an array is not a numpy.dtype"
    );
    let code = arena.tuple(object.args).and_then(|args| arena.name(*args.first()?));
    let Some(code) = code else { bail!(File, "a numpy.dtype has no type code") };
    let state = match object.state {
        Some(state) => match arena.tuple(state) {
            Some(state) if state.len() >= 5 => state,
            _ => bail!(File, "the state of a numpy.dtype is not a tuple"),
        },
        None => &[],
    };
    if let Some(name) = state.get(8).and_then(|&metadata| engine_dtype(arena, metadata)) {
        bail!(Unsupported, "arrays of MegEngine's {name:?} are not supported");
    }
    let missing = |i: usize| state.get(i).is_none_or(|&v| matches!(arena.get(v), Node::None));
    ensure!(missing(2) && missing(3), Unsupported, "arrays of records are not supported");
    let stated = state.get(1).map_or(Some("="), |&order| arena.name(order));
    let (prefix, code) = code.split_at(code.find(|c| !"<>|=".contains(c)).unwrap_or(code.len()));
    let order = if prefix.is_empty() { stated } else { Some(prefix) };
    let big = match order {
        Some(">") => true,
        Some("<" | "|") => false,
        Some("=") => cfg!(target_endian = "big"),
        _ => bail!(File, "the byte order of a numpy.dtype is not <, >, | or ="),
    };
    Ok((numpy_dtype(code)?, big))
}

/// The name in `{'mgb_dtype': {'name': name}}`, by which MegEngine marks types that NumPy lacks.
fn engine_dtype<'a>(arena: &'a Arena, metadata: Id) -> Option<&'a str> {
    let field = |id: Id, key: &str| match arena.get(id) {
        Node::Dict(pairs) => {
            // There are few; a shared dictionary of many is not searched again and again.
            let mut few = pairs.iter().take(16);
            few.find(|(k, _)| arena.name(*k) == Some(key)).map(|&(_, value)| value)
        }
        _ => None,
    };
    arena.name(field(field(metadata, "mgb_dtype")?, "name")?)
}

/// Bytes that old protocols wrote as text, one character each.
fn latin1(arena: &mut Arena, id: Id) -> Result<Vec<u8>> {
    let (Node::Str(data) | Node::OldStr(data)) = arena.get(id) else {
        bail!(File, "what is to be encoded is not text")
    };
    arena.spend(0, arena.data(data).len())?;
    let Some(text) = arena.text(id) else { bail!(File, "what is to be encoded is not text") };
    let mut out = super::super::try_with_capacity(text.len())?;
    for c in text.chars() {
        match u8::try_from(c) {
            Ok(byte) => out.push(byte),
            Err(_) => bail!(File, "the character {c:?} does not stand for a byte"),
        }
    }
    Ok(out)
}

/// The pairs that a list of pairs holds.
fn pairs(arena: &mut Arena, list: Id) -> Result<Option<Vec<(Id, Id)>>> {
    let Node::List(items) = arena.get(list) else { return Ok(None) };
    arena.spend(items.len(), 0)?;
    let Node::List(items) = arena.get(list) else { return Ok(None) };
    let pair = |&id: &Id| match arena.get(id) {
        Node::List(pair) | Node::Tuple(pair) => <[Id; 2]>::try_from(pair.as_slice()).ok(),
        _ => None,
    };
    Ok(items.iter().map(|id| pair(id).map(|[k, v]| (k, v))).collect())
}
