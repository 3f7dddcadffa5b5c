use super::*;
use crate::files::npz;
use crate::{DType, ErrorKind};
use std::path::PathBuf;

fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data").join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    std::fs::read(data(name)).unwrap()
}

fn message(bytes: &[u8]) -> String {
    let error = read(bytes).unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::File | ErrorKind::Unsupported), "{error}");
    error.to_string()
}

fn array<'a>(value: &'a Value, key: &str) -> &'a Array {
    value.get(key).and_then(Value::as_array).unwrap()
}

#[test]
fn a_state_dict_gives_its_arrays_by_name() {
    let value = load(data("megengine-1.13/state_dict.pkl")).unwrap();
    value.require_inert().unwrap();
    let names: Vec<String> = value.tensors().unwrap().into_iter().map(|(name, _)| name).collect();
    let expected = npz::load(data("megengine-1.13/expected_resumed.npz")).unwrap();
    // The same names as in the resumed state, which also has the losses.
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert!(expected.keys().filter(|name| *name != "losses").eq(&sorted));
    for (name, found) in value.tensors().unwrap() {
        assert_eq!((found.dtype, &found.shape), (expected[&name].dtype, &expected[&name].shape));
    }
    assert_eq!(array(&value, "steps").to_vec::<i32>().unwrap(), [3]);
    assert_eq!(array(&value, "body.conv2.weight").shape, [2, 8, 4, 3, 3]);
    assert!(array(&value, "body.bn1.running_var").to_f64().unwrap().iter().all(|&v| v > 0.0));
}

#[test]
fn a_checkpoint_gives_its_values() {
    let value = load(data("megengine-1.13/checkpoint.pkl")).unwrap();
    value.require_inert().unwrap();
    assert_eq!(value.get("epoch"), Some(&Value::Int(3)));
    assert_eq!(value.get("best").and_then(Value::as_f64), Some(0.5));
    assert_eq!(value.get("note").and_then(Value::as_str), Some("three Adam steps"));
    assert_eq!(array(&value, "mean").to_vec::<f32>().unwrap(), [0.1, 0.2, 0.3]);
    let state = load(data("megengine-1.13/state_dict.pkl")).unwrap();
    for (name, expected) in state.tensors().unwrap() {
        assert_eq!(value.get("state_dict").unwrap().get(&name), state.get(&name));
        let path = format!("state_dict.{name}");
        let all = value.tensors().unwrap();
        assert!(all.iter().any(|(found, array)| *found == path && *array == expected));
    }
    assert!(value.get("optimizer").unwrap().get("param_groups").is_some());
}

#[test]
fn a_module_gives_its_parameters_and_names_its_classes() {
    let value = load(data("megengine-1.13/module_sequential.pkl")).unwrap();
    let Value::Object(module) = &value else { panic!("{value:?}") };
    assert!(matches!(&module.class, Value::Global(g) if g.name == "Sequential"));
    let error = value.require_inert().unwrap_err().to_string();
    assert!(error.contains("megengine.module.sequential.Sequential"), "{error}");
    value.require_known(|g| g.module.starts_with("megengine.module.")).unwrap();
    let state = load(data("megengine-1.13/state_dict.pkl")).unwrap();
    let mut count = 0;
    for (name, found) in value.tensors().unwrap() {
        let Some(expected) = state.get(&format!("body.{name}")).and_then(Value::as_array) else {
            continue;
        };
        // State dicts flatten the parameters of normalisation layers.
        assert_eq!(found.data, expected.data, "{name}");
        count += 1;
    }
    assert_eq!(count, 14);
    let kernel = value.get("conv1").and_then(|conv| conv.get("kernel_size")).unwrap();
    assert_eq!(*kernel, Value::Tuple(vec![Value::Int(3), Value::Int(3)]));
}

#[test]
fn every_protocol_gives_the_same_values() {
    for name in ["numpy1", "numpy2"] {
        for protocol in 0..6 {
            let value = load(data(&format!("pickle/{name}_{protocol}.pkl"))).unwrap();
            let get = |key: &str| value.get(key).unwrap();
            let ints = |list: &[i64]| Value::List(list.iter().map(|&i| Value::Int(i)).collect());
            assert_eq!(*get("none"), Value::None);
            assert_eq!(*get("bools"), Value::List(vec![Value::Bool(true), Value::Bool(false)]));
            let expected = [0, 255, 256, 65536, -1, -(1 << 31), 1 << 31, i64::MAX, i64::MIN];
            assert_eq!(*get("ints"), ints(&expected));
            let Value::List(big) = get("big") else { panic!() };
            let expected = if protocol < 2 {
                [
                    "9223372036854775808",
                    "-1180591620717411303424",
                    "1000000000000000000000000000000",
                ]
            } else {
                ["0x8000000000000000", "-0x400000000000000000", "0x0c9f2c9cd04674edea40000000"]
            };
            assert_eq!(*big, expected.map(|text| Value::BigInt(text.into())));
            let floats = [0.0, -1.5, 1e300, f64::INFINITY].map(Value::Float);
            assert_eq!(*get("floats"), Value::List(floats.into()));
            assert_eq!(*get("bytes"), Value::Bytes(b"\x00\xff\\n\n".into()));
            assert_eq!(*get("empty bytes"), Value::Bytes(vec![]));
            assert_eq!(*get("bytearray"), Value::Bytes(b"xyz".into()));
            let text = "naïve 天元 😀 \\u0041 'quoted' line\nend";
            assert_eq!(get("text").as_str(), Some(text));
            let tuple = |n| Value::Tuple((1..=n).map(Value::Int).collect());
            assert_eq!(*get("tuples"), Value::List((0..5).map(tuple).collect()));
            let shared = Value::List(vec![Value::Int(1), Value::Str("two".into())]);
            assert_eq!(*get("shared"), Value::List(vec![shared.clone(), shared]));
            assert_eq!(*get("set"), Value::Set(vec![Value::Int(7)]));
            assert_eq!(*get("frozenset"), Value::Set(vec![Value::Int(8)]));
            let pair = |k: &str, v| (Value::Str(k.into()), Value::Int(v));
            assert_eq!(*get("ordered"), Value::Dict(vec![pair("b", 1), pair("a", 2)]));
            assert_eq!(*get("list"), ints(&(0..2000).collect::<Vec<_>>()));

            let arrays = get("arrays");
            assert_eq!(array(arrays, "bool").to_vec::<bool>().unwrap(), [true, false]);
            for (key, dtype) in [
                ("u1", DType::U8),
                ("i1", DType::I8),
                ("i2", DType::I16),
                ("i4", DType::I32),
                ("i8", DType::I64),
                ("f2", DType::F16),
                ("f4", DType::F32),
                ("f8", DType::F64),
            ] {
                let array = array(arrays, key);
                assert_eq!((array.dtype, array.shape.as_slice()), (dtype, &[2, 3][..]));
                assert_eq!(array.to_f64().unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
            }
            assert_eq!(array(arrays, "big-endian").to_vec::<i32>().unwrap(), [1, 2, 300]);
            let fortran = array(arrays, "fortran");
            assert_eq!(fortran.shape, [2, 3, 4]);
            assert!(fortran.to_f64().unwrap().into_iter().eq((0..24).map(f64::from)));
            assert_eq!(array(arrays, "sliced").to_vec::<i32>().unwrap(), [0, 3, 6, 9]);
            assert_eq!(array(arrays, "empty").shape, [0, 3]);
            assert_eq!(array(arrays, "zero-dimensional").to_vec::<f64>().unwrap(), [2.5]);
            assert_eq!(array(arrays, "scalar").to_vec::<f32>().unwrap(), [0.25]);
            value.require_inert().unwrap();
        }
    }
}

#[test]
fn code_is_never_run_but_named() {
    for program in [
        &b"cos\nsystem\n(S'echo'\ntR."[..],
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04echo\x85R.",
        b"(S'echo'\nios\nsystem\n.",
        b"(cos\nsystem\nS'echo'\no.",
        b"\x80\x02cos\nsystem\nS'echo'\n\x85\x81.",
        b"\x80\x04cos\nsystem\n)}\x92.",
        b"](cos\nsystem\ne.",
        b"}Ncos\nsystem\n(S'echo'\ntRs.",
        b"(cnumpy.core.multiarray\n_reconstruct\n(cos\nsystem\ntRNt.",
    ] {
        let error = read(program).unwrap().require_inert().unwrap_err().to_string();
        assert!(error.contains("os.system") || error.contains("_reconstruct"), "{error}");
    }
    let Value::Reduce(call) = read(b"cos\nsystem\n(S'echo'\ntR.").unwrap() else { panic!() };
    let system = Global { module: "os".into(), name: "system".into() };
    assert_eq!(call.class, Value::Global(system));
    assert_eq!(call.args, [Value::Str("echo".into())]);
    let error = read(b"Pkey\n.").unwrap().require_inert().unwrap_err().to_string();
    assert!(error.contains("key"), "{error}");
}

#[test]
fn objects_keep_what_made_them() {
    let program = b"\x80\x04cm\nC\nK\x01\x85}(\x8c\x01kK\x02u\x92}\x8c\x01aK\x03sb(K\x04K\x05e\x8c\x01pK\x06s.";
    let Value::Object(object) = read(program).unwrap() else { panic!() };
    let pair = |k: &str, v| (Value::Str(k.into()), Value::Int(v));
    assert_eq!(object.args, [Value::Int(1)]);
    assert_eq!(object.kwargs, [pair("k", 2)]);
    assert_eq!(object.state, Some(Value::Dict(vec![pair("a", 3)])));
    assert_eq!(object.items, [Value::Int(4), Value::Int(5)]);
    assert_eq!(object.pairs, [pair("p", 6)]);
    let old = b"ccopy_reg\n_reconstructor\n(cm\nC\nc__builtin__\nobject\nNtR}S'a'\nI3\nsb.";
    let value = read(old).unwrap();
    assert_eq!(value.get("a"), Some(&Value::Int(3)));
    assert!(matches!(value, Value::Object(_)));
}

#[test]
fn what_is_changed_after_it_was_remembered_is_changed_everywhere() {
    let value = read(b"\x80\x02]q\x00h\x00\x86h\x00K\x07a0.").unwrap();
    let seven = Value::List(vec![Value::Int(7)]);
    assert_eq!(value, Value::Tuple(vec![seven.clone(), seven]));
}

#[test]
fn values_that_contain_themselves_are_refused() {
    assert!(message(b"]q\x00h\x00a.").contains("contains itself"));
    assert!(message(b"}q\x00K\x01h\x00s.").contains("contains itself"));
    assert!(message(b"cm\nC\n)\x81q\x00}K\x01h\x00sb.").contains("contains itself"));
}

#[test]
fn deep_nesting_neither_recurses_nor_passes() {
    let nest = |n: usize| [vec![b']'; n], vec![b'a'; n - 1], vec![b'.']].concat();
    assert!(read(&nest(200)).is_ok());
    assert!(message(&nest(1_000_000)).contains("deep"));
    let tuples = [&b")"[..], &[0x85; 1_000_000], b"."].concat();
    assert!(message(&tuples).contains("deep"));
}

#[test]
fn shared_values_do_not_explode() {
    let mut laughs = b"]q\x00".to_vec();
    for i in 0..60u8 {
        laughs.extend([b'0', b'(', b'h', i, b'h', i, b'l', b'q', i + 1]);
    }
    laughs.push(b'.');
    assert!(message(&laughs).contains("shared"));
    // A long string, many times.
    let mut long = b"(X\x00\x00\x10\x00".to_vec();
    long.extend(vec![b'x'; 1 << 20]);
    long.extend(b"q\x00");
    long.extend(b"h\x00".repeat(100_000));
    long.extend(b"l.");
    assert!(message(&long).contains("shared"));
    // Encoded anew each time.
    long.truncate(6 + (1 << 20) + 2);
    long.extend(b"c_codecs\nencode\nq\x01X\x06\x00\x00\x00latin1q\x020");
    long.extend(b"h\x01h\x00h\x02\x86R".repeat(1000));
    long.extend(b"l.");
    assert!(message(&long).contains("shared"));
    let mut sets = b"(](".to_vec();
    sets.extend(b"N".repeat(50_000));
    sets.extend(b"eq\x00c__builtin__\nset\nq\x010");
    sets.extend(b"h\x01h\x00\x85R".repeat(50_000));
    sets.extend(b"l.");
    assert!(message(&sets).contains("shared"));
}

#[test]
fn claims_beyond_the_end_of_the_file_take_no_memory() {
    for program in [
        &b"X\xff\xff\xff\xff."[..],
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\x7f.",
        b"\x8e\xff\xff\xff\xff\xff\xff\xff\xff.",
        b"\x96\x00\x00\x00\x00\x00\x01\x00\x00.",
        b"\x95\x00\x00\x00\x00\x00\x01\x00\x00.",
        b"B\xff\xff\xff\xff.",
        b"\x8b\xff\xff\xff\x7f.",
        b"T\xff\xff\xff\x7f.",
    ] {
        assert!(message(program).contains("at byte 0: the file ends within"));
    }
    assert!(message(b"\x8b\xff\xff\xff\xff.").contains("-1 bytes"));
}

#[test]
fn foreign_data_is_an_error_with_its_position() {
    assert!(message(b"").contains("at byte 0"));
    assert!(message(b"PK\x03\x04").contains("at byte 0"));
    assert!(message(b"N\xc3.").contains("at byte 1: 0xc3 is not an instruction"));
    assert!(message(b"\x80\x06N.").contains("protocol 6"));
    for program in [
        &b"."[..],
        b"a.",
        b"Na.",
        b"(.",
        b"NNb.",
        b"h\x00.",
        b"t.",
        b"(Nd.",
        b"(Nu.",
        b"]N(Nu.",
        b"I1x\n.",
        b"I\n.",
        b"L-\n.",
        b"Fx\n.",
        b"S'abc\n.",
        b"S'\\x1'\n.",
        b"S'\\q'\n.",
        b"V\\u12\n.",
        b"V\\ud800\n.",
        b"\x8c\x01\xff.",
        b"gx\n.",
        b"\x82\x01.",
        b"NN\x93.",
        b"cos\nsystem\nNR.",
        b"cos\nsystem\n)N\x92.",
        b"\x97.",
        b"1.",
        b"(\x85.",
    ] {
        message(program);
    }
}

/// A pickle of an array, with a dtype's type code, order and metadata, a shape and data.
fn array_pickle(code: &str, state: &str, shape: &str, data: &str) -> Vec<u8> {
    format!(
        "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n({shape}t\
         cnumpy\ndtype\n(S'{code}'\nI0\nI1\ntR({state}tbI00\n{data}tb."
    )
    .into_bytes()
}

#[test]
fn arrays_that_do_not_fit_are_refused_by_name() {
    let good = "I3\nS'<'\nNNNI-1\nI-1\nI0\n";
    let read_array = |code, state, shape, data| read(&array_pickle(code, state, shape, data));
    let value = read_array("i4", good, "I1\n", "S'abcd'\n").unwrap();
    assert_eq!(value.as_array().unwrap().data, b"abcd");
    let error = |code, state, shape, data| message(&array_pickle(code, state, shape, data));
    assert!(error("u4", good, "I1\n", "S'abcd'\n").contains("uint32"));
    assert!(error("c8", good, "I1\n", "S'abcdabcd'\n").contains("complex64"));
    assert!(error("O8", good, "I1\n", "S'abcdabcd'\n").contains("object"));
    assert!(error("U1", good, "I1\n", "S'abcd'\n").contains("str"));
    assert!(error("i4", good, "I2\n", "S'abcd'\n").contains("8 bytes"));
    assert!(error("i4", good, "I-1\n", "S'abcd'\n").contains("shape"));
    assert!(error("i4", good, "I1\n", "N").contains("not bytes"));
    assert!(error("i4", good, "I9223372036854775807\nI9\n", "S''\n").contains("memory"));
    let many = "I1\n".repeat(65);
    assert!(error("i4", good, &many, "S'abcd'\n").contains("65 dimensions"));
    let quantized = "I4\nS'|'\nNNNI-1\nI-1\nI0\n}S'mgb_dtype'\n}S'name'\nS'QuantizedS8'\nss";
    assert!(error("i1", quantized, "I1\n", "S'a'\n").contains("QuantizedS8"));
    let record = "I3\nS'|'\nN(S'x'\ntNI-1\nI-1\nI0\n";
    assert!(error("V4", record, "I1\n", "S'abcd'\n").contains("records"));
    assert!(error("i4", "I3\nS'!'\nNNN", "I1\n", "S'abcd'\n").contains("byte order"));
}

#[test]
fn every_truncation_is_an_error() {
    for (name, step) in [
        ("pickle/numpy1_0.pkl", 11),
        ("pickle/numpy1_2.pkl", 11),
        ("pickle/numpy2_5.pkl", 1),
        ("megengine-1.13/state_dict.pkl", 1),
        ("megengine-1.13/module_sequential.pkl", 13),
        ("megengine-1.13/checkpoint.pkl", 37),
    ] {
        let bytes = bytes(name);
        for end in (0..bytes.len()).step_by(step) {
            assert!(message(&bytes[..end]).starts_with("pickle: at byte "), "{name} {end}");
        }
    }
}

#[test]
fn random_damage_never_panics() {
    let mut seed = 0x5eed_u64;
    let mut next = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 11) as usize % below
    };
    let originals = [
        "megengine-1.13/checkpoint.pkl",
        "megengine-1.13/module_sequential.pkl",
        "pickle/numpy1_0.pkl",
        "pickle/numpy1_3.pkl",
        "pickle/numpy2_5.pkl",
    ]
    .map(bytes);
    for _ in 0..6000 {
        let mut bytes = originals[next(originals.len())].clone();
        for _ in 0..1 + next(4) {
            let at = next(bytes.len());
            match next(4) {
                0 => bytes[at] = next(256) as u8,
                1 => bytes[at] ^= 1 << next(8),
                2 => drop(bytes.remove(at)),
                _ => {
                    let (from, n) = (next(bytes.len()), next(16));
                    let piece = bytes[from..(from + n).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        if let Ok(value) = read(&bytes) {
            let _ = value.require_inert();
            let _ = value.tensors();
        }
    }
}

#[test]
fn names_of_arrays_do_not_explode() {
    // A list of lists of lists …, each in a dictionary under a long key.
    let key = "k".repeat(1 << 16);
    let mut value = Value::List(vec![Value::None; 2000]);
    for _ in 0..200 {
        value = Value::Dict(vec![(Value::Str(key.clone()), value)]);
    }
    assert!(value.tensors().unwrap_err().to_string().contains("names"));
}
