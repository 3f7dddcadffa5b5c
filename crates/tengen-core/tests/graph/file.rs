//! Graphs as bytes: what comes back, what it takes, and what is refused.

use super::bytes::{MARK, description, number, one_step, text, value};
use super::{corpus, floats, numbers};
use tengen_core::graph::Graph;
use tengen_core::op::{Table, Value};
use tengen_core::ops::{self, families};
use tengen_core::{DType, ErrorKind, Result, Shape, Tensor};

fn decode(bytes: &[u8]) -> Result<Graph> {
    Graph::decode(bytes, Table::all())
}

fn refused(bytes: &[u8]) -> String {
    let e = decode(bytes).expect_err("these bytes are no graph");
    assert_eq!(e.kind(), ErrorKind::File, "{e}");
    e.to_string()
}

#[test]
fn what_is_written_comes_back() {
    // Where fuzzing wants seeds.
    let folder = std::env::var_os("TENGEN_CORPUS").map(std::path::PathBuf::from);
    for (i, (name, graph)) in corpus::graphs().into_iter().enumerate() {
        let bytes = graph.encode().unwrap();
        if let Some(folder) = &folder {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(folder.join(format!("{i}")), &bytes).unwrap();
        }
        let again = decode(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(again.to_string(), graph.to_string(), "{name}");
        assert_eq!(again.encode().unwrap(), bytes, "{name}");
        let inputs: Vec<Tensor> = graph.inputs().iter().map(|m| corpus::input(*m)).collect();
        let (a, b) = (graph.run(inputs.clone()).unwrap(), again.run(inputs).unwrap());
        for (a, b) in a.iter().zip(&b) {
            assert_eq!(a.to_f64_vec().unwrap(), b.to_f64_vec().unwrap(), "{name}");
        }
    }
}

#[test]
fn repeated_constants_take_few_bytes() {
    let wide = Shape::new(&[1000, 1000]).unwrap();
    let row = ops::broadcast_to(&numbers(floats(&[1, 1000]), 1), &wide).unwrap();
    let one = ops::broadcast_to(&Tensor::scalar(1.5f32).unwrap(), &wide).unwrap();
    for (constant, most) in [(one, 100), (row, 4100)] {
        let graph =
            Graph::record(&[floats(&[1000, 1000])], |x| Ok(vec![ops::add(&x[0], &constant)?]));
        let bytes = graph.unwrap().encode().unwrap();
        assert!(bytes.len() < most, "{}", bytes.len());
        let again = decode(&bytes).unwrap();
        assert_eq!(again.constants()[0].to_f64_vec().unwrap(), constant.to_f64_vec().unwrap());
    }
}

#[test]
fn a_file_that_is_cut_off_anywhere_is_refused() {
    for (name, graph) in corpus::graphs() {
        let bytes = graph.encode().unwrap();
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_err(), "{name}: {end} of {} bytes", bytes.len());
        }
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    let mut bytes = one_step(&[(DType::F32, vec![2])], "relu", &[]);
    decode(&bytes).unwrap();
    bytes.push(0);
    assert!(refused(&bytes).contains("1 bytes are left over"));
    assert!(refused(b"tengen graph 2\n\0\0\0\0").contains("no graph"));
}

#[test]
fn an_unknown_operator_is_named() {
    let bytes = one_step(&[(DType::F32, vec![2])], "frobnicate", &[]);
    let e = decode(&bytes).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(e.to_string().contains("frobnicate"), "{e}");
    // One that this program's table leaves out is unknown, too.
    let bytes = one_step(&[(DType::F32, vec![2])], "relu", &[]);
    let few = Table::new(&[families::VIEW]);
    assert_eq!(Graph::decode(&bytes, &few).unwrap_err().kind(), ErrorKind::Unsupported);
}

#[test]
fn attributes_have_to_be_the_operators_own() {
    let slope = |name: &str, v: Value| vec![(name.to_string(), v)];
    let given = |attributes: &[(String, Value)]| {
        decode(&one_step(&[(DType::F32, vec![2])], "leaky_relu", attributes))
    };
    let half = Value::Float(0.5f64.to_bits());
    given(&slope("slope", half.clone())).unwrap();
    for wrong in [
        vec![],
        slope("slop", half.clone()),
        slope("slope", Value::Text("steep".into())),
        [slope("slope", half.clone()), slope("other", half)].concat(),
    ] {
        let e = given(&wrong).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::Value, "{e}");
        assert!(e.to_string().contains("leaky_relu"), "{e}");
    }
    let e = decode(&one_step(&vec![(DType::F32, vec![2]); 2], "relu", &[])).unwrap_err();
    assert!(e.to_string().contains("2 inputs"), "{e}");
}

/// The mark and inputs, and no constants.
fn start(inputs: &[&[u64]]) -> Vec<u8> {
    let mut out = MARK.to_vec();
    number(&mut out, inputs.len() as u64);
    inputs.iter().for_each(|dims| description(&mut out, DType::F32, dims));
    number(&mut out, 0);
    out
}

#[test]
fn a_step_reads_only_what_is_before_it() {
    let mut bytes = start(&[&[2]]);
    number(&mut bytes, 1);
    text(&mut bytes, "relu");
    number(&mut bytes, 0);
    number(&mut bytes, 1);
    // Its own result.
    number(&mut bytes, 1);
    assert!(refused(&bytes).contains("%1, which is not before it"));
    let mut bytes = start(&[&[2]]);
    number(&mut bytes, 0);
    number(&mut bytes, 1);
    number(&mut bytes, 1);
    assert!(refused(&bytes).contains("the result %1 does not exist"));
}

#[test]
fn counts_beyond_the_file_take_no_memory() {
    const MANY: u64 = 1_000_000_000_000;
    let mut inputs = MARK.to_vec();
    number(&mut inputs, MANY);
    assert!(refused(&inputs).contains("1000000000000 inputs are more than the file has"));
    let mut constants = MARK.to_vec();
    number(&mut constants, 0);
    number(&mut constants, MANY);
    assert!(refused(&constants).contains("constants"));
    for what in 0..5 {
        let mut bytes = start(&[&[2]]);
        number(&mut bytes, if what == 0 { MANY } else { 1 });
        if what > 0 {
            number(&mut bytes, if what == 1 { MANY } else { 4 });
            bytes.extend(b"relu");
            number(&mut bytes, if what == 2 { MANY } else { 0 });
            number(&mut bytes, if what == 3 { MANY } else { 1 });
            number(&mut bytes, 0);
            number(&mut bytes, MANY);
        }
        assert!(refused(&bytes).contains("1000000000000"), "{what}");
    }
    // A number that is none.
    let bytes = [MARK, &[0xff; 12]].concat();
    assert!(refused(&bytes).contains("too large"));
}

#[test]
fn constants_have_to_be_complete_and_possible() {
    let with = |dims: &[u64], repeats: u8, bytes: usize| {
        let mut out = MARK.to_vec();
        number(&mut out, 0);
        number(&mut out, 1);
        description(&mut out, DType::F32, dims);
        out.push(repeats);
        out.extend(vec![0; bytes]);
        number(&mut out, 0);
        number(&mut out, 1);
        number(&mut out, 0);
        out
    };
    assert_eq!(decode(&with(&[2, 3], 0, 24)).unwrap().run([]).unwrap()[0].numel(), 6);
    decode(&with(&[1 << 30, 3], 1, 12)).unwrap();
    assert!(refused(&with(&[1 << 40], 0, 24)).contains("cut off"));
    assert!(refused(&with(&[1, 3], 1, 24)).contains("cannot repeat"));
    assert!(refused(&with(&[2], 4, 24)).contains("an axis that it has not"));
    assert_eq!(decode(&with(&[1 << 40, 1 << 40], 3, 4)).unwrap_err().kind(), ErrorKind::Shape);
    assert!(decode(&with(&[1; 9], 0, 4)).is_err());
}

#[test]
fn lists_that_lie_too_deep_are_refused() {
    let nested = |depth: usize| (0..depth).fold(Value::Int(1), |v, _| Value::List(vec![v]));
    for (depth, told) in [(3, "is not a"), (17, "too deep"), (100_000, "too deep")] {
        let mut bytes = start(&[&[2]]);
        number(&mut bytes, 1);
        text(&mut bytes, "reshape");
        number(&mut bytes, 1);
        text(&mut bytes, "shape");
        if depth < 1000 {
            value(&mut bytes, &nested(depth));
        } else {
            bytes.extend([5, 1].repeat(depth));
        }
        number(&mut bytes, 1);
        number(&mut bytes, 0);
        let e = decode(&bytes).unwrap_err();
        assert!(e.to_string().contains(told), "{depth}: {e}");
    }
}

#[test]
fn shapes_beyond_memory_are_refused() {
    for dims in [&[1u64 << 62][..], &[1 << 40, 1 << 40], &[u64::MAX], &[1 << 32, 1 << 32, 0]] {
        let mut bytes = start(&[dims]);
        number(&mut bytes, 0);
        number(&mut bytes, 1);
        number(&mut bytes, 0);
        assert_eq!(decode(&bytes).unwrap_err().kind(), ErrorKind::Shape, "{dims:?}");
    }
}
