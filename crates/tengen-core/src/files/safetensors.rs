//! safetensors files: named arrays and a map of strings.

use super::{Array, atomic, byte_count, read_file, try_copy};
use crate::{DType, Error, ErrorKind, Result, bail, ensure};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// What a file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contents {
    /// The arrays by name.
    pub arrays: BTreeMap<String, Array>,
    /// Free text by key, the header's `__metadata__`.
    pub metadata: BTreeMap<String, String>,
}

/// Reads the bytes of a file.
///
/// # Errors
/// [`File`](crate::ErrorKind::File) if they are not a safetensors file,
/// [`Unsupported`](crate::ErrorKind::Unsupported) if no [`DType`] matches an array's,
/// [`Memory`](crate::ErrorKind::Memory) if there is no memory.
pub fn read(bytes: &[u8]) -> Result<Contents> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(file_error)?;
    let metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone()));
    let metadata = metadata.collect();
    let mut arrays = BTreeMap::new();
    for (name, view) in SafeTensors::deserialize(bytes).map_err(file_error)?.iter() {
        let array =
            || Array::new(dtype(view.dtype())?, view.shape().to_vec(), try_copy(view.data())?);
        let array = array().map_err(|e| e.context(format_args!("safetensors: array {name:?}")))?;
        arrays.insert(name.to_owned(), array);
    }
    Ok(Contents { arrays, metadata })
}

/// Reads a file.
///
/// # Errors
/// As [`read`]; they name the path.
pub fn load(path: impl AsRef<Path>) -> Result<Contents> {
    let path = path.as_ref();
    read(&read_file(path)?).map_err(|e| e.context(path.display()))
}

/// The bytes of a file with these arrays and this metadata.
///
/// # Errors
/// [`File`](crate::ErrorKind::File) if an array is inconsistent.
///
/// ```
/// use tengen_core::files::{Array, safetensors};
/// let mut contents = safetensors::Contents::default();
/// contents.arrays.insert("w".into(), Array::from_slice(&[2], &[1.0f32, 2.0])?);
/// contents.metadata.insert("epoch".into(), "3".into());
/// let bytes = safetensors::to_bytes(&contents)?;
/// assert_eq!(safetensors::read(&bytes)?, contents);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn to_bytes(contents: &Contents) -> Result<Vec<u8>> {
    let mut views = Vec::with_capacity(contents.arrays.len());
    for (name, array) in &contents.arrays {
        let bytes = byte_count(array.dtype, &array.shape)?;
        ensure!(
            array.data.len() == bytes,
            File,
            "safetensors: array {name:?} has {} bytes of data in place of {bytes}",
            array.data.len()
        );
        let view = TensorView::new(file_dtype(array.dtype), array.shape.clone(), &array.data);
        views.push((name, view.map_err(file_error)?));
    }
    let metadata: HashMap<String, String> =
        contents.metadata.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    serialize(views, (!metadata.is_empty()).then_some(metadata)).map_err(file_error)
}

/// Writes a file, atomically.
///
/// # Errors
/// As [`to_bytes`]; they name the path.
pub fn save(path: impl AsRef<Path>, contents: &Contents) -> Result<()> {
    atomic::write(path, |out| Ok(out.write_all(&to_bytes(contents)?)?))
}

fn file_error(e: safetensors::SafeTensorError) -> Error {
    Error::new(ErrorKind::File, format!("safetensors: {e}"))
}

fn dtype(dtype: Dtype) -> Result<DType> {
    Ok(match dtype {
        Dtype::BOOL => DType::Bool,
        Dtype::U8 => DType::U8,
        Dtype::I8 => DType::I8,
        Dtype::I16 => DType::I16,
        Dtype::I32 => DType::I32,
        Dtype::I64 => DType::I64,
        Dtype::F16 => DType::F16,
        Dtype::BF16 => DType::BF16,
        Dtype::F32 => DType::F32,
        Dtype::F64 => DType::F64,
        other => bail!(
            Unsupported,
            "arrays of {other:?} are not supported; use one of {}",
            DType::ALL.map(|d| format!("{:?}", file_dtype(d))).join(", ")
        ),
    })
}

fn file_dtype(dtype: DType) -> Dtype {
    match dtype {
        DType::Bool => Dtype::BOOL,
        DType::U8 => Dtype::U8,
        DType::I8 => Dtype::I8,
        DType::I16 => Dtype::I16,
        DType::I32 => Dtype::I32,
        DType::I64 => Dtype::I64,
        DType::F16 => Dtype::F16,
        DType::BF16 => Dtype::BF16,
        DType::F32 => Dtype::F32,
        DType::F64 => Dtype::F64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents() -> Contents {
        let mut contents = Contents::default();
        for (i, dtype) in DType::ALL.into_iter().enumerate() {
            let data = (0..6 * dtype.size()).map(|b| (b % 2) as u8).collect();
            let array = Array::new(dtype, vec![i % 2 + 1, 6 / (i % 2 + 1)], data).unwrap();
            contents.arrays.insert(format!("layer.{}", dtype.name()), array);
        }
        contents.arrays.insert("empty".into(), Array::from_slice::<f32>(&[3, 0], &[]).unwrap());
        contents.arrays.insert("scalar".into(), Array::from_slice(&[], &[1.5f32]).unwrap());
        contents.metadata.insert("format".into(), "np".into());
        contents
    }

    #[test]
    fn arrays_and_metadata_survive_the_way_there_and_back() {
        let bytes = to_bytes(&contents()).unwrap();
        assert_eq!(read(&bytes).unwrap(), contents());
        assert_eq!(to_bytes(&contents()).unwrap(), bytes);
        let bare = Contents { metadata: BTreeMap::new(), ..contents() };
        assert_eq!(read(&to_bytes(&bare).unwrap()).unwrap(), bare);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.safetensors");
        save(&path, &contents()).unwrap();
        assert_eq!(load(&path).unwrap(), contents());
    }

    #[test]
    fn damage_is_an_error() {
        let bytes = to_bytes(&contents()).unwrap();
        for end in 0..bytes.len() {
            assert_eq!(read(&bytes[..end]).unwrap_err().kind(), ErrorKind::File);
        }
        let mut seed = 1u64;
        for _ in 0..3000 {
            let mut bytes = bytes.clone();
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            let at = (seed >> 33) as usize % bytes.len();
            bytes[at] = (seed >> 20) as u8;
            let _ = read(&bytes);
        }
    }

    #[test]
    fn unsupported_types_are_named() {
        let header = r#"{"a":{"dtype":"U32","shape":[1],"data_offsets":[0,4]}}"#;
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend([0; 4]);
        let error = read(&bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("U32"), "{error}");
    }
}
