//! Files of graphs written by hand, right or wrong.

use tengen_core::DType;
use tengen_core::op::Value;

pub const MARK: &[u8] = b"tengen graph 1\n";

pub fn number(out: &mut Vec<u8>, mut v: u64) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

pub fn text(out: &mut Vec<u8>, s: &str) {
    number(out, s.len() as u64);
    out.extend_from_slice(s.as_bytes());
}

pub fn description(out: &mut Vec<u8>, dtype: DType, dims: &[u64]) {
    out.extend([dtype as u8, dims.len() as u8]);
    dims.iter().for_each(|n| number(out, *n));
}

pub fn value(out: &mut Vec<u8>, v: &Value) {
    match v {
        Value::Bool(v) => out.extend([0, u8::from(*v)]),
        Value::Int(v) => {
            out.push(1);
            number(out, (v << 1 ^ v >> 63) as u64);
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

/// A graph of one step that reads all inputs in their order, and whose first result is the graph's.
pub fn one_step(
    inputs: &[(DType, Vec<u64>)],
    name: &str,
    attributes: &[(String, Value)],
) -> Vec<u8> {
    let mut out = MARK.to_vec();
    number(&mut out, inputs.len() as u64);
    inputs.iter().for_each(|(dtype, dims)| description(&mut out, *dtype, dims));
    number(&mut out, 0);
    number(&mut out, 1);
    text(&mut out, name);
    number(&mut out, attributes.len() as u64);
    for (name, v) in attributes {
        text(&mut out, name);
        value(&mut out, v);
    }
    number(&mut out, inputs.len() as u64);
    (0..inputs.len() as u64).for_each(|i| number(&mut out, i));
    number(&mut out, 1);
    number(&mut out, inputs.len() as u64);
    out
}
