//! The machine that a pickle is a program for, with every instruction that could run code replaced
//! by one that notes what would have been run.

use super::Value;
use super::arena::{Arena, Data, Id, MAX_NAME, Node, ObjectNode, push};
use super::{known, text};
use crate::{Result, bail, ensure};
use std::collections::HashMap;
use std::ops::Range;

/// The newest protocol that there is.
const MAX_PROTOCOL: u8 = 5;

pub(super) struct Machine<'a> {
    input: &'a [u8],
    /// Where the next instruction or argument starts.
    at: usize,
    /// Where the current instruction starts.
    instruction: usize,
    arena: Arena<'a>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

/// Runs a pickle and returns what it builds.
pub(super) fn run(input: &[u8]) -> Result<Value> {
    let mut machine = Machine {
        input,
        at: 0,
        instruction: 0,
        arena: Arena::new(input),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    let root = loop {
        machine.instruction = machine.at;
        match machine.step() {
            Ok(None) => {}
            Ok(Some(root)) => break root,
            Err(e) => {
                return Err(e.context(format_args!("pickle: at byte {}", machine.instruction)));
            }
        }
    };
    machine.arena.tree(root).map_err(|e| e.context("pickle"))
}

impl Machine<'_> {
    /// Runs one instruction; returns the result if it was the last.
    fn step(&mut self) -> Result<Option<Id>> {
        let [opcode] = self.array()?;
        match opcode {
            b'(' => push(&mut self.marks, self.stack.len())?,
            b'.' => return self.pop().map(Some),
            b'0' => self.discard()?,
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?;
                push(&mut self.stack, top)?;
            }

            b'N' => self.push(Node::None)?,
            0x88 => self.push(Node::Bool(true))?,
            0x89 => self.push(Node::Bool(false))?,
            b'I' => {
                let line = self.line()?;
                let node = text::integer(self.input, line)?;
                self.push(node)?;
            }
            b'L' => {
                let mut line = self.line()?;
                if self.input[line.clone()].ends_with(b"L") {
                    line.end -= 1;
                }
                let node = text::long(self.input, line)?;
                self.push(node)?;
            }
            b'J' => {
                let n = i32::from_le_bytes(self.array()?);
                self.push(Node::Int(n.into()))?;
            }
            b'K' => {
                let [n] = self.array()?;
                self.push(Node::Int(n.into()))?;
            }
            b'M' => {
                let n = u16::from_le_bytes(self.array()?);
                self.push(Node::Int(n.into()))?;
            }
            0x8a => {
                let n = self.length1()?;
                self.long(n)?;
            }
            0x8b => {
                let n = self.signed_length4()?;
                self.long(n)?;
            }
            b'F' => {
                let line = self.line()?;
                let node = text::float(&self.input[line])?;
                self.push(node)?;
            }
            b'G' => {
                let f = f64::from_be_bytes(self.array()?);
                self.push(Node::Float(f))?;
            }

            b'S' => {
                let line = self.line()?;
                let bytes = text::quoted(&self.input[line])?;
                self.push(Node::OldStr(Data::Owned(bytes)))?;
            }
            b'T' => {
                let n = self.signed_length4()?;
                let span = self.span(n)?;
                self.push(Node::OldStr(Data::Span(span)))?;
            }
            b'U' => {
                let n = self.length1()?;
                let span = self.span(n)?;
                self.push(Node::OldStr(Data::Span(span)))?;
            }
            b'V' => {
                let line = self.line()?;
                let text = text::raw_unicode(&self.input[line])?;
                self.push(Node::Str(Data::Owned(text.into_bytes())))?;
            }
            0x8c => {
                let n = self.length1()?;
                self.unicode(n)?;
            }
            b'X' => {
                let n = self.length4()?;
                self.unicode(n)?;
            }
            0x8d => {
                let n = self.length8()?;
                self.unicode(n)?;
            }
            b'C' => {
                let n = self.length1()?;
                self.bytes(n)?;
            }
            b'B' => {
                let n = self.length4()?;
                self.bytes(n)?;
            }
            0x8e | 0x96 => {
                let n = self.length8()?;
                self.bytes(n)?;
            }
            0x97 => bail!(Unsupported, "the data of a buffer is kept outside of this file"),
            0x98 => drop(self.top()?),

            b']' => self.push(Node::List(Vec::new()))?,
            b')' => self.push(Node::Tuple(Vec::new()))?,
            b'}' => self.push(Node::Dict(Vec::new()))?,
            0x8f => self.push(Node::Set(Vec::new()))?,
            b'l' => {
                let items = self.pop_mark()?;
                self.push(Node::List(items))?;
            }
            b't' => {
                let items = self.pop_mark()?;
                self.push(Node::Tuple(items))?;
            }
            b'd' => {
                let items = self.pop_mark()?;
                self.push(Node::Dict(pairs(&items)?))?;
            }
            0x91 => {
                let items = self.pop_mark()?;
                self.push(Node::Set(items))?;
            }
            0x85..=0x87 => {
                let mut items = Vec::new();
                for _ in 0x84..opcode {
                    items.push(self.pop()?);
                }
                items.reverse();
                self.push(Node::Tuple(items))?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' | 0x90 => {
                let items = self.pop_mark()?;
                self.append(&items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(&[(key, value)])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set_items(&pairs(&items)?)?;
            }

            b'c' => {
                let global = self.named_global()?;
                push(&mut self.stack, global)?;
            }
            0x93 => {
                let name = self.pop()?;
                let module = self.pop()?;
                let global = self.global(module, name)?;
                push(&mut self.stack, global)?;
            }
            b'i' => {
                let class = self.named_global()?;
                let args = self.pop_mark()?;
                let args = self.arena.add(Node::Tuple(args))?;
                self.instance(class, args, None)?;
            }
            b'o' => {
                let mut args = self.pop_mark()?;
                ensure!(!args.is_empty(), File, "an instance has no class");
                let class = args.remove(0);
                let args = self.arena.add(Node::Tuple(args))?;
                self.instance(class, args, None)?;
            }
            0x81 => {
                let args = self.pop()?;
                let class = self.pop()?;
                self.instance(class, args, None)?;
            }
            0x92 => {
                let kwargs = self.pop()?;
                let args = self.pop()?;
                let class = self.pop()?;
                let is_dict = matches!(self.arena.get(kwargs), Node::Dict(_));
                ensure!(is_dict, File, "keyword arguments are not a dictionary");
                self.instance(class, args, Some(kwargs))?;
            }
            b'R' => {
                let args = self.pop()?;
                let callable = self.pop()?;
                match known::call(&mut self.arena, callable, args)? {
                    Some(node) => self.push(node)?,
                    None => self.object(true, callable, args, None)?,
                }
            }
            b'b' => {
                let state = self.pop()?;
                let object = self.top()?;
                self.build(object, state)?;
            }
            b'P' => {
                let line = self.line()?;
                text::utf8(&self.input[line.clone()])?;
                let name = self.arena.add(Node::Str(Data::Span(line)))?;
                self.push(Node::Persistent(name))?;
            }
            b'Q' => {
                let name = self.pop()?;
                self.push(Node::Persistent(name))?;
            }
            0x82..=0x84 => bail!(Unsupported, "this program's registry of extensions is empty"),

            b'p' => {
                let key = self.line_number()?;
                self.put(key)?;
            }
            b'q' => {
                let [key] = self.array()?;
                self.put(key.into())?;
            }
            b'r' => {
                let key = u32::from_le_bytes(self.array()?);
                self.put(key.into())?;
            }
            0x94 => self.put(self.memo.len() as u64)?,
            b'g' => {
                let key = self.line_number()?;
                self.recall(key)?;
            }
            b'h' => {
                let [key] = self.array()?;
                self.recall(key.into())?;
            }
            b'j' => {
                let key = u32::from_le_bytes(self.array()?);
                self.recall(key.into())?;
            }

            0x80 => {
                let [protocol] = self.array()?;
                ensure!(
                    protocol <= MAX_PROTOCOL,
                    Unsupported,
                    "protocol {protocol} is newer than {MAX_PROTOCOL}, the newest supported"
                );
            }
            0x95 => {
                let n = self.length8()?;
                let left = self.input.len() - self.at;
                ensure!(
                    n <= left,
                    File,
                    "the file ends within a frame of {n} bytes; {left} follow"
                );
            }
            _ => bail!(File, "{opcode:#04x} is not an instruction of pickle"),
        }
        Ok(None)
    }

    fn push(&mut self, node: Node) -> Result<()> {
        let id = self.arena.add(node)?;
        push(&mut self.stack, id)
    }

    /// The values above this belong to the last mark.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn top(&self) -> Result<Id> {
        match self.stack[self.floor()..].last() {
            Some(&top) => Ok(top),
            None => bail!(File, "the instruction needs a value that is not there"),
        }
    }

    /// Drops the last value or mark.
    fn discard(&mut self) -> Result<()> {
        if self.stack.len() == self.floor() && self.marks.pop().is_some() {
            return Ok(());
        }
        self.pop().map(drop)
    }

    /// The values since the last mark.
    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        let Some(mark) = self.marks.pop() else {
            bail!(File, "the instruction needs a mark that is not there")
        };
        let mut items = super::super::try_with_capacity(self.stack.len() - mark)?;
        items.extend(self.stack.drain(mark..));
        Ok(items)
    }

    /// The next bytes.
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        match self.input[self.at..].first_chunk() {
            Some(bytes) => {
                self.at += N;
                Ok(*bytes)
            }
            None => bail!(File, "the file ends within an instruction"),
        }
    }

    fn length1(&mut self) -> Result<usize> {
        let [n] = self.array()?;
        Ok(n.into())
    }

    fn length4(&mut self) -> Result<usize> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    fn signed_length4(&mut self) -> Result<usize> {
        let n = i32::from_le_bytes(self.array()?);
        match usize::try_from(n) {
            Ok(n) => Ok(n),
            Err(_) => bail!(File, "a value is {n} bytes long"),
        }
    }

    fn length8(&mut self) -> Result<usize> {
        // What does not fit is longer than the file, too.
        Ok(usize::try_from(u64::from_le_bytes(self.array()?)).unwrap_or(usize::MAX))
    }

    /// Where the next `n` bytes are.
    fn span(&mut self, n: usize) -> Result<Range<usize>> {
        let left = self.input.len() - self.at;
        ensure!(n <= left, File, "the file ends within a value of {n} bytes; {left} follow");
        let span = self.at..self.at + n;
        self.at = span.end;
        Ok(span)
    }

    /// Where the next line is, without its end.
    fn line(&mut self) -> Result<Range<usize>> {
        match self.input[self.at..].iter().position(|&b| b == b'\n') {
            Some(n) => {
                let line = self.at..self.at + n;
                self.at = line.end + 1;
                Ok(line)
            }
            None => bail!(File, "the file ends within a line of text"),
        }
    }

    fn line_number(&mut self) -> Result<u64> {
        let line = self.line()?;
        match text::utf8(&self.input[line])?.trim().parse() {
            Ok(n) => Ok(n),
            Err(_) => bail!(File, "a memo key is not a number"),
        }
    }

    fn long(&mut self, n: usize) -> Result<()> {
        let span = self.span(n)?;
        let node = text::binary_long(self.input, span);
        self.push(node)
    }

    fn unicode(&mut self, n: usize) -> Result<()> {
        let span = self.span(n)?;
        text::utf8(&self.input[span.clone()])?;
        self.push(Node::Str(Data::Span(span)))
    }

    fn bytes(&mut self, n: usize) -> Result<()> {
        let span = self.span(n)?;
        self.push(Node::Bytes(Data::Span(span)))
    }

    /// A global from two lines.
    fn named_global(&mut self) -> Result<Id> {
        let (module, name) = (self.line()?, self.line()?);
        let module = self.arena.add(Node::Str(Data::Span(module)))?;
        let name = self.arena.add(Node::Str(Data::Span(name)))?;
        self.global(module, name)
    }

    fn global(&mut self, module: Id, name: Id) -> Result<Id> {
        let is_name = |id| self.arena.name(id).is_some();
        ensure!(
            is_name(module) && is_name(name),
            File,
            "the name of a global is not a text of at most {MAX_NAME} bytes"
        );
        self.arena.add(Node::Global { module, name })
    }

    fn append(&mut self, items: &[Id]) -> Result<()> {
        let top = self.top()?;
        let list = match self.arena.get_mut(top) {
            Node::List(list) | Node::Set(list) => list,
            Node::Object(object) => &mut object.items,
            _ => bail!(File, "values are added to what is no list and no set"),
        };
        items.iter().try_for_each(|&item| push(list, item))
    }

    fn set_items(&mut self, new: &[(Id, Id)]) -> Result<()> {
        let top = self.top()?;
        let pairs = match self.arena.get_mut(top) {
            Node::Dict(pairs) => pairs,
            Node::Object(object) => &mut object.pairs,
            _ => bail!(File, "items are set in what is no dictionary"),
        };
        new.iter().try_for_each(|&pair| push(pairs, pair))
    }

    fn instance(&mut self, class: Id, args: Id, kwargs: Option<Id>) -> Result<()> {
        match known::instance(&self.arena, class, args) {
            Some(node) if kwargs.is_none() => self.push(node),
            _ => self.object(false, class, args, kwargs),
        }
    }

    fn object(&mut self, reduce: bool, class: Id, args: Id, kwargs: Option<Id>) -> Result<()> {
        ensure!(self.arena.tuple(args).is_some(), File, "the arguments of a call are not a tuple");
        let (items, pairs) = (Vec::new(), Vec::new());
        let object = ObjectNode { reduce, class, args, kwargs, state: None, items, pairs };
        self.push(Node::Object(Box::new(object)))
    }

    /// Gives an object its state.
    fn build(&mut self, id: Id, state: Id) -> Result<()> {
        let made = match self.arena.get_mut(id) {
            Node::Object(object) => {
                ensure!(object.state.is_none(), File, "an object gets its state twice");
                object.state = Some(state);
                match self.arena.get(id) {
                    Node::Object(object) => known::with_state(&self.arena, object, state)?,
                    _ => None,
                }
            }
            // Attributes of a tensor or of a subclass of dict, which values do not keep.
            Node::Alias(_) | Node::Dict(_) => None,
            _ => bail!(File, "state is given to what has none"),
        };
        if let Some(node) = made {
            *self.arena.get_mut(id) = node;
        }
        Ok(())
    }

    fn put(&mut self, key: u64) -> Result<()> {
        let top = self.top()?;
        if self.memo.try_reserve(1).is_err() {
            bail!(Memory, "no memory for {} values", self.memo.len());
        }
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u64) -> Result<()> {
        match self.memo.get(&key) {
            Some(&id) => push(&mut self.stack, id),
            None => bail!(File, "there is no value under memo key {key}"),
        }
    }
}

/// Keys and values that alternate.
fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>> {
    let (pairs, rest) = items.as_chunks::<2>();
    ensure!(rest.is_empty(), File, "a key of a dictionary has no value");
    let mut out = super::super::try_with_capacity(pairs.len())?;
    out.extend(pairs.iter().map(|&[key, value]| (key, value)));
    Ok(out)
}
