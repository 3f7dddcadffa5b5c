//! Files that someone made up: no bytes make reading or running panic.

use super::bytes::one_step;
use super::corpus;
use std::collections::BTreeMap;
use tengen_core::graph::Graph;
use tengen_core::op::{Table, Value};
use tengen_core::{DType, Tensor};

/// Numbers that follow from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }
}

/// Whether running takes little time and memory.
fn small(graph: &Graph) -> bool {
    let steps = graph.steps().iter().flat_map(|s| s.metas());
    let constants: Vec<_> = graph.constants().iter().map(Tensor::meta).collect();
    let all = graph.inputs().iter().chain(&constants).chain(steps);
    all.map(|m| m.shape.numel()).fold(0usize, usize::saturating_add) < 20_000
}

/// Reads bytes; runs what they are, if it is small, on zeros. How far it went.
fn survive(bytes: &[u8]) -> (bool, bool) {
    let Ok(graph) = Graph::decode(bytes, Table::all()) else { return (false, false) };
    assert!(!graph.to_string().is_empty());
    if !small(&graph) {
        return (true, false);
    }
    let inputs = graph.inputs().iter().map(|m| Tensor::zeros(&m.shape, m.dtype).unwrap());
    let ran = graph.run(inputs.collect::<Vec<_>>());
    if let Ok(results) = &ran {
        let metas: Vec<_> = results.iter().map(Tensor::meta).collect();
        assert_eq!(metas, graph.outputs(), "{graph}");
        results.iter().for_each(|t| assert_eq!(t.to_f64_vec().unwrap().len(), t.numel()));
    }
    (true, ran.is_ok())
}

/// Runs `f`, and says for which case it panicked.
fn told(case: impl Fn() -> String, f: impl FnOnce() -> (bool, bool)) -> (bool, bool) {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(f));
    result.unwrap_or_else(|_| panic!("this panics: {}", case()))
}

#[test]
fn flipped_bytes_never_panic() {
    let mut random = Random(0x5eed);
    let (mut read, mut ran, mut refused) = (0, 0, 0);
    for (name, graph) in corpus::graphs() {
        let bytes = graph.encode().unwrap();
        for round in 0..150 {
            let mut changed = bytes.clone();
            for _ in 0..=random.below(3) {
                let at = 15 + random.below(changed.len() - 15);
                match random.below(4) {
                    0 => changed[at] ^= 1 << random.below(8),
                    1 => changed[at] = *random.of(&[0, 1, 2, 0x7f, 0x80, 0xff]),
                    2 => drop(changed.splice(at..at, [random.below(256) as u8])),
                    _ => drop(changed.remove(at)),
                }
            }
            let (r, w) =
                told(|| format!("{name}, round {round}: {changed:?}"), || survive(&changed));
            read += usize::from(r);
            ran += usize::from(w);
            refused += usize::from(!r);
        }
    }
    assert!(read > 100 && ran > 100 && refused > 1000, "{read} read, {ran} ran, {refused} not");
}

type Case = (Vec<(DType, Vec<u64>)>, Vec<(String, Value)>);

/// For every operator of the corpus, attributes and inputs that it has somewhere.
fn cases() -> BTreeMap<&'static str, Vec<Case>> {
    let mut all: BTreeMap<&str, Vec<Case>> = BTreeMap::new();
    for (_, graph) in corpus::graphs() {
        let mut metas = graph.inputs().to_vec();
        metas.extend(graph.constants().iter().map(Tensor::meta));
        for step in graph.steps() {
            let inputs = step.inputs().iter().map(|i| metas[*i as usize]);
            let inputs = inputs.map(|m| (m.dtype, m.shape.iter().map(|n| *n as u64).collect()));
            let attributes = step.op().attributes().into_iter();
            let attributes = attributes.map(|(n, v)| (n.to_string(), v)).collect();
            all.entry(step.op().name()).or_default().push((inputs.collect(), attributes));
            metas.extend(step.metas());
        }
    }
    all
}

/// Changes a value somewhere inside.
fn disturb(v: &mut Value, random: &mut Random) {
    const INTS: [i64; 14] = [0, 1, 2, 3, 7, 8, 9, 64, -1, -2, 1 << 31, 1 << 62, i64::MAX, i64::MIN];
    match v {
        Value::Bool(b) => *b = !*b,
        Value::Int(i) => *i = *random.of(&INTS),
        Value::Float(f) => {
            *f = random.of(&[0.0f64, -1.0, 1e300, f64::NAN, f64::INFINITY, 0.5]).to_bits();
        }
        Value::DType(d) => *d = *random.of(&DType::ALL),
        Value::Text(s) => *s = "ToFilter".into(),
        Value::List(all) => {
            if all.is_empty() || random.below(4) == 0 {
                match random.below(3) {
                    0 => drop(all.pop()),
                    1 => all.push(Value::Int(*random.of(&INTS))),
                    _ => all.extend(all.first().cloned()),
                }
            } else {
                let k = random.below(all.len());
                disturb(&mut all[k], random);
            }
        }
    }
}

#[test]
fn no_attributes_and_inputs_make_an_operator_panic() {
    let mut random = Random(0xace);
    let cases = cases();
    assert!(cases.len() > 80, "{}", cases.len());
    let (mut read, mut ran) = (0, 0);
    for (name, cases) in &cases {
        for round in 0..400 {
            let (mut inputs, mut attributes) = random.of(cases).clone();
            for _ in 0..random.below(4) {
                if !attributes.is_empty() {
                    let k = random.below(attributes.len());
                    disturb(&mut attributes[k].1, &mut random);
                }
                if !inputs.is_empty() && random.below(2) == 0 {
                    let k = random.below(inputs.len());
                    let (dtype, dims) = &mut inputs[k];
                    match random.below(6) {
                        0 => *dtype = *random.of(&DType::ALL),
                        1 => dims.clear(),
                        2 => dims.push(*random.of(&[0, 1, 2, 1 << 20])),
                        3 => drop(dims.pop()),
                        _ if dims.is_empty() => {}
                        _ => {
                            let d = random.below(dims.len());
                            dims[d] = *random.of(&[0, 1, 2, 5, 1 << 31, 1 << 59]);
                        }
                    }
                }
                match random.below(12) {
                    0 => drop(inputs.pop()),
                    1 => inputs.extend(inputs.first().cloned()),
                    2 => {
                        let dtype = *random.of(&DType::ALL);
                        inputs.iter_mut().for_each(|i| i.0 = dtype);
                    }
                    _ => {}
                }
            }
            let bytes = one_step(&inputs, name, &attributes);
            let case = || format!("{name} {attributes:?} of {inputs:?}, round {round}");
            let (r, w) = told(case, || survive(&bytes));
            read += usize::from(r);
            ran += usize::from(w);
        }
    }
    assert!(read > 3000 && ran > 2000, "{read} were read, {ran} ran");
}
