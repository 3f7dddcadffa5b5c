//! Files of named tensors: npz and safetensors, written and read; MegEngine's pickles, read
//! without running anything in them.
//!
//! ```
//! use tengen::files;
//! use tengen::nn::{Linear, Module};
//!
//! let folder = tempfile::tempdir()?;
//! let path = folder.path().join("net.safetensors");
//! let (a, b) = (Linear::new(3, 2)?, Linear::new(3, 2)?);
//! files::save(&path, &a.state_dict("")?)?;
//! b.load_state_dict(&files::load(&path)?, true)?;
//! assert_eq!(a.weight.get().to_vec::<f32>()?, b.weight.get().to_vec::<f32>()?);
//! # Ok::<(), tengen::Error>(())
//! ```

pub use tengen_core::files::*;

use crate::nn::StateDict;
use std::collections::BTreeMap;
use std::path::Path;
use tengen_core::{Result, Tensor, bail, ensure};

/// The formats that [`save`] and [`load`] know by a path's extension.
enum Format {
    Npz,
    Safetensors,
    Pickle,
}

fn format(path: &Path) -> Result<Format> {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    Ok(match extension.to_ascii_lowercase().as_str() {
        "npz" => Format::Npz,
        "safetensors" => Format::Safetensors,
        "pkl" | "pickle" => Format::Pickle,
        _ => bail!(
            Value,
            "{}: the extension {extension:?} names no format of tensors; use .npz or .safetensors, \
             or for reading .pkl",
            path.display()
        ),
    })
}

/// Writes tensors under their names, in the format of the path's extension: `.npz` or
/// `.safetensors`. The file is replaced in one step, so that a process that dies leaves the old one
/// or the new one.
///
/// # Errors
/// Value: another extension. Unsupported: a dtype that the format lacks (npz has no bfloat16), or a
/// pickle, which is only read. File: it cannot be written. Memory: a copy cannot be had.
pub fn save(path: impl AsRef<Path>, tensors: &StateDict) -> Result<()> {
    let path = path.as_ref();
    let format = format(path)?;
    let arrays: BTreeMap<String, Array> = tensors
        .iter()
        .map(|(name, tensor)| Ok((name.clone(), Array::try_from(tensor)?)))
        .collect::<Result<_>>()?;
    match format {
        Format::Npz => npz::save(path, &arrays, npz::Compression::Stored),
        Format::Safetensors => {
            safetensors::save(path, &safetensors::Contents { arrays, ..Default::default() })
        }
        Format::Pickle => bail!(
            Unsupported,
            "{}: pickles are read, not written; use .npz or .safetensors",
            path.display()
        ),
    }
}

/// Reads the tensors of a file by name, in the format of the path's extension: `.npz`,
/// `.safetensors`, or `.pkl` and `.pickle` as `megengine.save` writes them.
///
/// A pickle may hold dictionaries, lists, numbers, text, arrays and tensors in any nesting; the
/// names are then dotted paths ([`pickle::Value::tensors`]), and what is no array is passed over.
/// Nothing in it is run.
///
/// # Errors
/// Value: another extension. File: it cannot be read, is damaged, or refers to a class or function;
/// the message names it. Unsupported: an array of a type that no dtype matches. Memory: there is
/// none.
///
/// ```no_run
/// use tengen::files;
/// let checkpoint = files::load("checkpoint.pkl")?;
/// let state = files::under(&checkpoint, "state_dict");
/// # Ok::<(), tengen::Error>(())
/// ```
pub fn load(path: impl AsRef<Path>) -> Result<StateDict> {
    let path = path.as_ref();
    let tensors = match format(path)? {
        Format::Npz => state(npz::load(path)?.iter().map(|(n, a)| (n.clone(), a))),
        Format::Safetensors => {
            state(safetensors::load(path)?.arrays.iter().map(|(n, a)| (n.clone(), a)))
        }
        Format::Pickle => from_pickle(&pickle::load(path)?),
    };
    tensors.map_err(|e| e.context(path.display()))
}

/// The tensors in a pickle by their dotted paths; see [`load`].
///
/// # Errors
/// As [`load`].
pub fn from_pickle(value: &pickle::Value) -> Result<StateDict> {
    value.require_inert()?;
    state(value.tensors()?.into_iter())
}

/// The tensors whose names start with `prefix` and a dot, without these.
///
/// ```
/// use tengen::{DType, Tensor, files, nn::StateDict};
/// let one = Tensor::ones(&[1], DType::F32)?;
/// let all = StateDict::from([("net.a".into(), one.clone()), ("nets.b".into(), one)]);
/// assert_eq!(files::under(&all, "net").into_keys().collect::<Vec<_>>(), ["a"]);
/// # Ok::<(), tengen::Error>(())
/// ```
pub fn under(tensors: &StateDict, prefix: &str) -> StateDict {
    let name = |n: &str| Some(n.strip_prefix(prefix)?.strip_prefix('.')?.to_string());
    tensors.iter().filter_map(|(n, t)| Some((name(n)?, t.clone()))).collect()
}

fn state<'a>(arrays: impl Iterator<Item = (String, &'a Array)>) -> Result<StateDict> {
    let mut tensors = StateDict::new();
    for (name, array) in arrays {
        let tensor =
            Tensor::try_from(array).map_err(|e| e.context(format_args!("array {name:?}")))?;
        let twice = tensors.insert(name.clone(), tensor).is_some();
        ensure!(!twice, File, "there are two arrays {name:?}");
    }
    Ok(tensors)
}
