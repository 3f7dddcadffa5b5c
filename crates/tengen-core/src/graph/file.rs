//! Graphs as bytes.
//!
//! Numbers are LEB128, little ends first. After the mark: the inputs, each a dtype and a shape; the
//! constants, each a dtype, a shape, for each axis whether its elements are one, and the bytes of
//! what is left; the steps, each a name, attributes, and the numbers of what it reads; the numbers of
//! the results. What follows from this, shapes and dtypes of values foremost, is not in the file:
//! reading infers it again, and so checks it.

use super::{Graph, Id, Part, infer};
use crate::files::Array;
use crate::op::{Meta, Table, Value};
use crate::shape::{MAX_DIMS, Shape};
use crate::{DType, Error, ErrorKind, Result, Tensor, bail, ensure, ops};
use smallvec::SmallVec;

const MARK: &[u8] = b"tengen graph 1\n";
/// How deep lists in attributes can lie within each other.
const DEPTH: usize = 16;

impl Graph {
    /// The graph as bytes, for [`Graph::decode`].
    ///
    /// # Errors
    /// Memory: a copy of a constant cannot be had.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut out = MARK.to_vec();
        number(&mut out, self.inputs.len() as u64);
        self.inputs.iter().for_each(|m| description(&mut out, m));
        number(&mut out, self.constants.len() as u64);
        for t in &self.constants {
            constant(&mut out, t)?;
        }
        number(&mut out, self.steps.len() as u64);
        for step in &self.steps {
            text(&mut out, step.op.name());
            let attributes = step.op.attributes();
            number(&mut out, attributes.len() as u64);
            for (name, v) in &attributes {
                text(&mut out, name);
                value(&mut out, v);
            }
            number(&mut out, step.inputs.len() as u64);
            step.inputs.iter().for_each(|id| number(&mut out, u64::from(*id)));
        }
        number(&mut out, self.outputs.len() as u64);
        self.outputs.iter().for_each(|id| number(&mut out, u64::from(*id)));
        Ok(out)
    }

    /// The graph that [`Graph::encode`] gave, of operators that `table` has. Takes time and memory in
    /// proportion to the bytes, whatever they say.
    ///
    /// ```
    /// use tengen_core::{DType, Meta, Shape, graph::Graph, op::Table, ops};
    /// let x = Meta { shape: Shape::new(&[2])?, dtype: DType::F32 };
    /// let graph = Graph::record(&[x], |x| Ok(vec![ops::relu(&x[0])?]))?;
    /// let again = Graph::decode(&graph.encode()?, Table::all())?;
    /// assert_eq!(graph.to_string(), again.to_string());
    /// # Ok::<(), tengen_core::Error>(())
    /// ```
    ///
    /// # Errors
    /// File: these are not the bytes of a graph: it says where. Unsupported: an operator is not in
    /// the table. Otherwise what an operator finds in its inputs' shapes and attributes.
    pub fn decode(bytes: &[u8], table: &Table) -> Result<Graph> {
        let mut r = Bytes { all: bytes, at: 0 };
        ensure!(r.take(MARK.len(), "mark")? == MARK, File, "graph: this is no graph of Tengen's");
        let mut values: Vec<Tensor> = Vec::new();
        let inputs = r.many("inputs", 2, Bytes::description)?;
        for meta in &inputs {
            values.push(Tensor::new_later(*meta, 0, 0)?);
        }
        let constants = r.many("constants", 2, Bytes::constant)?;
        values.extend(constants.iter().cloned());
        let count = r.count("steps", 3)?;
        let mut parts: Vec<Part> = Vec::new();
        for i in 0..count {
            let name = r.text("an operator's name")?;
            let attributes = r.many("attributes", 2, |r| {
                Ok((r.text("an attribute's name")?.to_string(), r.value(DEPTH)?))
            })?;
            let op = table
                .build(name, &attributes)
                .map_err(|e| e.context(format_args!("graph: step {i}")))?;
            let ids = r.many("what a step reads", 1, Bytes::id)?;
            let mut args: SmallVec<[&Tensor; 4]> = SmallVec::new();
            for id in &ids {
                match values.get(*id as usize) {
                    Some(t) => args.push(t),
                    None => {
                        bail!(File, "graph: step {i} ({op}) reads %{id}, which is not before it")
                    }
                }
            }
            let out = infer(&*op, &args).map_err(|e| e.context(format_args!("graph: step {i}")))?;
            drop(args);
            for meta in &out {
                values.push(Tensor::new_later(*meta, 0, 0)?);
            }
            parts.push((op, ids.into(), out));
        }
        let outputs = r.many("results", 1, Bytes::id)?;
        if let Some(id) = outputs.iter().find(|id| **id as usize >= values.len()) {
            bail!(File, "graph: the result %{id} does not exist");
        }
        let left = bytes.len() - r.at;
        ensure!(left == 0, File, "graph: {left} bytes are left over");
        Ok(Graph::assemble(inputs, constants, parts, outputs))
    }
}

fn number(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

fn text(out: &mut Vec<u8>, s: &str) {
    number(out, s.len() as u64);
    out.extend_from_slice(s.as_bytes());
}

fn description(out: &mut Vec<u8>, m: &Meta) {
    out.push(m.dtype as u8);
    out.push(m.shape.len() as u8);
    m.shape.iter().for_each(|n| number(out, *n as u64));
}

/// Axes along which all elements are one are written once.
fn constant(out: &mut Vec<u8>, t: &Tensor) -> Result<()> {
    description(out, &t.meta());
    let repeats: Vec<bool> =
        t.strides().iter().zip(t.shape().iter()).map(|(s, n)| *s == 0 && *n > 1).collect();
    let bits = repeats.iter().enumerate().fold(0u8, |b, (d, r)| b | u8::from(*r) << d);
    out.push(bits);
    let mut once = t.detach();
    for (d, _) in repeats.iter().enumerate().filter(|(_, r)| **r) {
        once = ops::split_at(&once, &[1], d as isize)?.swap_remove(0);
    }
    out.extend_from_slice(&Array::try_from(&once)?.data);
    Ok(())
}

/// Zigzag, so that small negative numbers are short.
fn signed(v: i64) -> u64 {
    (v << 1 ^ v >> 63) as u64
}

fn value(out: &mut Vec<u8>, v: &Value) {
    match v {
        Value::Bool(v) => out.extend([0, u8::from(*v)]),
        Value::Int(v) => {
            out.push(1);
            number(out, signed(*v));
        }
        Value::Float(bits) => {
            out.push(2);
            out.extend_from_slice(&bits.to_le_bytes());
        }
        Value::Text(s) => {
            out.push(3);
            text(out, s);
        }
        Value::DType(d) => out.extend([4, *d as u8]),
        Value::List(all) => {
            out.push(5);
            number(out, all.len() as u64);
            all.iter().for_each(|v| value(out, v));
        }
    }
}

/// Bytes on their way into a graph.
struct Bytes<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> Bytes<'a> {
    #[cold]
    fn wrong(&self, what: &str) -> Error {
        Error::new(ErrorKind::File, format!("graph: {what} at byte {}", self.at))
    }

    fn take(&mut self, n: usize, what: &str) -> Result<&'a [u8]> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.all.len());
        let Some(end) = end else { return Err(self.wrong(&format!("{what} is cut off"))) };
        let part = &self.all[self.at..end];
        self.at = end;
        Ok(part)
    }

    fn byte(&mut self, what: &str) -> Result<u8> {
        Ok(self.take(1, what)?[0])
    }

    fn number(&mut self, what: &str) -> Result<u64> {
        let mut v = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(what)?;
            let part = u64::from(byte & 0x7f);
            if part << shift >> shift != part {
                break;
            }
            v |= part << shift;
            if byte & 0x80 == 0 {
                return Ok(v);
            }
        }
        Err(self.wrong(&format!("the number of {what} is too large")))
    }

    /// How many things follow that take at least `least` bytes each.
    fn count(&mut self, what: &str, least: usize) -> Result<usize> {
        let n = self.number(what)?;
        let most = (self.all.len() - self.at) / least;
        match usize::try_from(n) {
            Ok(n) if n <= most => Ok(n),
            _ => Err(self.wrong(&format!("{n} {what} are more than the file has"))),
        }
    }

    fn many<T>(
        &mut self,
        what: &str,
        least: usize,
        mut read: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        let n = self.count(what, least)?;
        let mut all = Vec::new();
        for _ in 0..n {
            all.push(read(self)?);
        }
        Ok(all)
    }

    fn id(&mut self) -> Result<Id> {
        let v = self.number("a value")?;
        Id::try_from(v).map_err(|_| self.wrong(&format!("there is no value %{v}")))
    }

    fn text(&mut self, what: &str) -> Result<&'a str> {
        let n = self.count(what, 1)?;
        std::str::from_utf8(self.take(n, what)?)
            .map_err(|_| self.wrong(&format!("{what} is no text")))
    }

    fn dtype(&mut self) -> Result<DType> {
        let byte = self.byte("a dtype")?;
        let found = DType::ALL.into_iter().find(|d| *d as u8 == byte);
        found.ok_or_else(|| self.wrong(&format!("{byte} is no dtype")))
    }

    fn description(&mut self) -> Result<Meta> {
        let dtype = self.dtype()?;
        let ndim = self.byte("a shape")? as usize;
        ensure!(ndim <= MAX_DIMS, File, "graph: {ndim} dimensions at byte {}", self.at);
        let mut dims: SmallVec<[usize; MAX_DIMS]> = SmallVec::new();
        for _ in 0..ndim {
            let n = self.number("an extent")?;
            dims.push(usize::try_from(n).map_err(|_| self.wrong("an extent is too large"))?);
        }
        Ok(Meta { shape: Shape::new(&dims).map_err(|e| e.context("graph"))?, dtype })
    }

    fn constant(&mut self) -> Result<Tensor> {
        let Meta { shape, dtype } = self.description()?;
        let repeats = self.byte("a constant")?;
        let mut once = shape;
        for d in (0..shape.len()).filter(|d| repeats >> d & 1 == 1) {
            ensure!(shape[d] > 1, File, "graph: axis {d} of {shape} cannot repeat");
            once = once.with(d, 1)?;
        }
        ensure!(
            u32::from(repeats) < 1 << shape.len(),
            File,
            "graph: a constant of {shape} repeats along an axis that it has not"
        );
        let bytes = self.take(once.numel().saturating_mul(dtype.size()), "a constant")?;
        ops::broadcast_to(&Tensor::from_bytes(bytes, &once, dtype)?, &shape)
    }

    fn value(&mut self, depth: usize) -> Result<Value> {
        const WHAT: &str = "an attribute";
        Ok(match self.byte(WHAT)? {
            0 => match self.byte(WHAT)? {
                bit @ 0..=1 => Value::Bool(bit == 1),
                _ => return Err(self.wrong("an attribute is neither true nor false")),
            },
            1 => {
                let v = self.number(WHAT)?;
                Value::Int((v >> 1) as i64 ^ -((v & 1) as i64))
            }
            2 => {
                let mut bits = [0; 8];
                bits.copy_from_slice(self.take(8, WHAT)?);
                Value::Float(u64::from_le_bytes(bits))
            }
            3 => Value::Text(self.text(WHAT)?.into()),
            4 => Value::DType(self.dtype()?),
            5 if depth == 0 => return Err(self.wrong("lists lie too deep within each other")),
            5 => Value::List(self.many(WHAT, 2, |r| r.value(depth - 1))?),
            kind => return Err(self.wrong(&format!("{kind} is no kind of attribute"))),
        })
    }
}
