//! Cases, their arguments and arrays, and the comparison with what is recorded.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;
use tengen::files::{Array, npz};
use tengen::{DType, Error, Tensor};

/// What is wrong with a case.
#[derive(Debug)]
pub struct Problem(pub String);

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<Error> for Problem {
    fn from(e: Error) -> Problem {
        Problem(format!("{e:?}"))
    }
}

pub type Outcome<T = ()> = Result<T, Problem>;

/// Ends with a problem.
macro_rules! fail {
    ($($text:tt)*) => { return Err($crate::case::Problem(format!($($text)*))) };
}
pub(crate) use fail;

pub struct Family {
    cases: Vec<Value>,
    arrays: BTreeMap<String, Array>,
}

impl Family {
    pub fn load(name: &str) -> Family {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        Family {
            cases: serde_json::from_str(&text).unwrap(),
            arrays: npz::load(folder.join(format!("{name}.npz"))).unwrap(),
        }
    }

    pub fn cases(&self) -> impl Iterator<Item = Case<'_>> {
        self.cases.iter().map(|json| Case { json, arrays: &self.arrays })
    }
}

#[derive(Clone, Copy)]
pub struct Case<'a> {
    pub json: &'a Value,
    arrays: &'a BTreeMap<String, Array>,
}

impl<'a> Case<'a> {
    pub fn name(&self) -> &'a str {
        self.json["name"].as_str().unwrap()
    }

    pub fn op(&self) -> &'a str {
        self.json["op"].as_str().unwrap()
    }

    /// The strings of a list.
    pub fn strings(&self, field: &str) -> Vec<&'a str> {
        self.json[field].as_array().unwrap().iter().map(|v| v.as_str().unwrap()).collect()
    }

    pub fn array(&self, path: &str) -> Outcome<&'a Array> {
        let key = format!("{}/{path}", self.name());
        self.arrays.get(&key).ok_or_else(|| Problem(format!("there is no array {key}")))
    }

    pub fn has_array(&self, path: &str) -> bool {
        self.arrays.contains_key(&format!("{}/{path}", self.name()))
    }

    pub fn tensor(&self, path: &str) -> Outcome<Tensor> {
        Ok(Tensor::try_from(self.array(path)?)?)
    }

    /// Compares a result with a recorded array.
    pub fn compare(&self, path: &str, got: &Tensor) -> Outcome {
        let want = self.array(path)?;
        if got.dtype() != want.dtype || got.shape()[..] != want.shape {
            fail!("{path}: got {got}, want {}{:?}", want.dtype, want.shape);
        }
        let number = |field: &str, usual| self.json[field].as_f64().unwrap_or(usual);
        let exact = !want.dtype.is_float();
        let (rtol, atol) =
            if exact { (0.0, 0.0) } else { (number("rtol", 0.0), number("atol", 1e-6)) };
        let (got, want) = (got.to_f64_vec()?, want.to_f64()?);
        let close = |g: f64, w: f64| {
            g == w || (g.is_nan() && w.is_nan()) || (g - w).abs() <= atol + rtol * w.abs()
        };
        let wrong: Vec<usize> = (0..got.len()).filter(|i| !close(got[*i], want[*i])).collect();
        if let Some(i) = wrong.first() {
            let (n, g, w) = (wrong.len(), got[*i], want[*i]);
            fail!("{path}: {n} of {} differ, first [{i}]: got {g:e}, want {w:e}", got.len());
        }
        Ok(())
    }
}

/// Arguments by MegEngine's names.
#[derive(Clone, Copy)]
pub struct Args<'a>(pub &'a Value);

impl<'a> Args<'a> {
    /// What is given under a name; null counts as nothing.
    pub fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|v| !v.is_null())
    }

    pub fn f64(&self, name: &str) -> Option<f64> {
        self.get(name).map(|v| v.as_f64().unwrap_or_else(|| if *v == true { 1.0 } else { 0.0 }))
    }

    pub fn bool(&self, name: &str, usual: bool) -> bool {
        self.get(name).map_or(usual, |v| v.as_bool().unwrap())
    }

    pub fn isize(&self, name: &str) -> Option<isize> {
        self.get(name).map(|v| v.as_i64().unwrap() as isize)
    }

    /// A number, unless it is several.
    pub fn isize_if_one(&self, name: &str) -> Option<isize> {
        self.get(name).and_then(|v| v.as_i64()).map(|v| v as isize)
    }

    pub fn usize(&self, name: &str) -> Option<usize> {
        self.get(name).map(|v| v.as_u64().unwrap() as usize)
    }

    pub fn str(&self, name: &str, usual: &'static str) -> &'a str {
        self.get(name).map_or(usual, |v| v.as_str().unwrap())
    }

    /// One number, or several.
    pub fn isizes(&self, name: &str) -> Option<Vec<isize>> {
        self.get(name).map(|v| match v.as_array() {
            Some(items) => items.iter().map(|v| v.as_i64().unwrap() as isize).collect(),
            None => vec![v.as_i64().unwrap() as isize],
        })
    }

    pub fn usizes(&self, name: &str) -> Option<Vec<usize>> {
        Some(self.isizes(name)?.into_iter().map(|v| usize::try_from(v).unwrap()).collect())
    }

    /// Two numbers, or one for both.
    pub fn pair(&self, name: &str) -> Option<(usize, usize)> {
        self.usizes(name).map(|v| (v[0], v[v.len() - 1]))
    }

    pub fn dtype(&self, usual: DType) -> DType {
        self.get("dtype").map_or(usual, |v| DType::from_name(v.as_str().unwrap()).unwrap())
    }
}

/// A Python number beside a tensor: it takes on the tensor's dtype, but makes an integer or bool
/// tensor a float one where it is a float, and a bool tensor too where it is an integer.
pub fn number_beside(x: &Tensor, v: &Value) -> Outcome<Tensor> {
    let dtype = match (x.dtype(), v.is_i64()) {
        (d, _) if d.is_float() => d,
        (d, true) if d.is_int() => d,
        _ => DType::F32,
    };
    Ok(Tensor::full(&[], v.as_f64().unwrap(), dtype)?)
}
