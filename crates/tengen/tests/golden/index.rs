//! `x[index]` and `x[index] = v`.

use crate::case::{Outcome, fail};
use crate::functions::{Answer, Call};
use serde_json::Value;
use tengen::ops::{self, Index};

fn item(c: &Call, item: &Value) -> Outcome<Index> {
    let whole = |v: &Value| v.as_i64().map(|v| v as isize);
    if let Some(i) = item.get("int").and_then(whole) {
        return Ok(Index::Int(i));
    }
    if let Some([start, stop, step]) = item.get("slice").and_then(Value::as_array).map(|s| &s[..]) {
        let step = whole(step).unwrap_or(1);
        return Ok(Index::Slice { start: whole(start), stop: whole(stop), step });
    }
    if item.get("none").is_some() {
        return Ok(Index::NewAxis);
    }
    if item.get("ellipsis").is_some() {
        return Ok(Index::Ellipsis);
    }
    let name = item.get("array").or(item.get("mask")).and_then(Value::as_str);
    match name.and_then(|n| c.named(n)) {
        Some(t) => Ok(Index::Tensor(t.clone())),
        None => fail!("no such item of an index: {item}"),
    }
}

pub fn call(c: &Call) -> Answer {
    let items = c.args.get("index").and_then(Value::as_array)?;
    let index: Outcome<Vec<Index>> = items.iter().map(|i| item(c, i)).collect();
    let index = match index {
        Ok(index) => index,
        Err(e) => return Some(Err(e)),
    };
    let result = match c.case.op() {
        "getitem" => ops::getitem(&c.inputs[0], &index),
        "setitem" => ops::setitem(&c.inputs[0], &index, c.named("v")?),
        _ => return None,
    };
    Some(result.map(|y| vec![y]).map_err(Into::into))
}
