//! The values that old protocols write as text.

use super::arena::Node;
use crate::{Result, bail, ensure};
use std::ops::Range;

pub(super) fn utf8(bytes: &[u8]) -> Result<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(_) => bail!(File, "a string is not UTF-8"),
    }
}

/// A decimal number, or a bool, which is written as 00 or 01.
pub(super) fn integer(input: &[u8], line: Range<usize>) -> Result<Node> {
    match &input[line.clone()] {
        b"00" => Ok(Node::Bool(false)),
        b"01" => Ok(Node::Bool(true)),
        _ => long(input, line),
    }
}

/// A decimal number.
pub(super) fn long(input: &[u8], mut line: Range<usize>) -> Result<Node> {
    while input[line.clone()].ends_with(b"\r") || input[line.clone()].ends_with(b" ") {
        line.end -= 1;
    }
    let digits = input[line.clone()].strip_prefix(b"-").unwrap_or(&input[line.clone()]);
    ensure!(
        !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        File,
        "an integer is not written in digits"
    );
    Ok(match utf8(&input[line.clone()])?.parse() {
        Ok(n) => Node::Int(n),
        Err(_) => Node::Decimal(line),
    })
}

/// A number in little-endian two's complement.
pub(super) fn binary_long(input: &[u8], span: Range<usize>) -> Node {
    let bytes = &input[span.clone()];
    let fill = if bytes.last().is_some_and(|&b| b >= 0x80) { 0xFF } else { 0 };
    let mut word = [fill; 8];
    match word.get_mut(..bytes.len()) {
        Some(front) => {
            front.copy_from_slice(bytes);
            Node::Int(i64::from_le_bytes(word))
        }
        None => Node::Binary(span),
    }
}

pub(super) fn float(line: &[u8]) -> Result<Node> {
    match utf8(line)?.trim().parse() {
        Ok(f) => Ok(Node::Float(f)),
        Err(_) => bail!(File, "a float is not written as a number"),
    }
}

/// A string literal of Python 2.
pub(super) fn quoted(line: &[u8]) -> Result<Vec<u8>> {
    let inner = match line.trim_ascii() {
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
        _ => bail!(File, "a string has no quotes"),
    };
    let mut out = super::super::try_with_capacity(inner.len())?;
    let mut rest = inner;
    while let Some((&b, more)) = rest.split_first() {
        rest = more;
        if b != b'\\' {
            out.push(b);
            continue;
        }
        let Some((&escape, more)) = rest.split_first() else { bail!(File, "a string ends in \\") };
        rest = more;
        out.push(match escape {
            b'\\' | b'\'' | b'"' => escape,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let (code, more) = hexadecimal(rest, 2)?;
                rest = more;
                code as u8
            }
            _ => bail!(File, "a string has the unknown escape \\{}", escape.escape_ascii()),
        });
    }
    Ok(out)
}

/// Latin-1 text in which other characters, and the backslash, are escaped.
pub(super) fn raw_unicode(line: &[u8]) -> Result<String> {
    let mut out = String::new();
    let mut rest = line;
    // At most two bytes for every one.
    if out.try_reserve(line.len().saturating_mul(2)).is_err() {
        bail!(Memory, "no memory for {} bytes", line.len());
    }
    while let Some((&b, more)) = rest.split_first() {
        rest = more;
        let digits = match (b, rest.first()) {
            (b'\\', Some(b'u')) => 4,
            (b'\\', Some(b'U')) => 8,
            _ => {
                out.push(b.into());
                continue;
            }
        };
        let (code, more) = hexadecimal(&rest[1..], digits)?;
        rest = more;
        match char::from_u32(code) {
            Some(c) => out.push(c),
            None => bail!(File, "{code:#x} is not a character"),
        }
    }
    Ok(out)
}

/// The number that so many hexadecimal digits write, and what follows them.
fn hexadecimal(text: &[u8], digits: usize) -> Result<(u32, &[u8])> {
    let code = text.split_at_checked(digits).and_then(|(code, rest)| {
        let code = code.iter().try_fold(0u32, |n, &d| Some(n << 4 | char::from(d).to_digit(16)?));
        Some((code?, rest))
    });
    match code {
        Some(found) => Ok(found),
        None => bail!(File, "an escape needs {digits} hexadecimal digits"),
    }
}
