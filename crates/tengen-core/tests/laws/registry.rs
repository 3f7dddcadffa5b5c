//! No operator without laws: every public function of `ops` is named by a test here.

use std::fs;
use std::path::Path;

fn sources(dir: &Path, out: &mut String) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_operator_has_laws() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut ops, mut laws) = (String::new(), String::new());
    sources(&root.join("src/ops"), &mut ops);
    sources(&root.join("tests/laws"), &mut laws);
    let mut names: Vec<&str> = ops
        .lines()
        .filter_map(|l| l.strip_prefix("pub fn "))
        .filter_map(|l| l.split(['(', '<']).next())
        .collect();
    // Operators declared by the macros: `    name = Op(…`.
    names.extend(ops.lines().filter_map(|l| {
        let (name, rest) = l.strip_prefix("    ")?.split_once(" = ")?;
        let upper = rest.starts_with(|c: char| c.is_ascii_uppercase());
        let ident = name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        (upper && ident && rest.contains(['(', ','])).then_some(name)
    }));
    assert!(names.len() > 80, "{names:?}");
    let internal = ["prelu_map", "int", "promote", "scale_shift"];
    let missing: Vec<_> = names
        .iter()
        .filter(|n| !internal.contains(n) && !laws.contains(&format!("ops::{n}")))
        .collect();
    assert!(missing.is_empty(), "without laws: {missing:?}");
}
