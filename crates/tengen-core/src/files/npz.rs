//! NumPy's `.npz` files: a zip archive with an npy file for every array.

use super::npy::{self, Header};
use super::{Array, atomic, byte_count, from_raw};
use crate::{Error, ErrorKind, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek, Write};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipArchive, ZipWriter};

/// How an archive's members are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// As they are, like `numpy.savez`.
    #[default]
    Stored,
    /// Compressed, like `numpy.savez_compressed`.
    Deflated,
}

/// Deflate cannot compress by more than this factor.
const MAX_RATIO: u64 = 1032;
/// Memory is taken in steps of this size, as data arrives.
const STEP: usize = 1 << 20;

/// Reads the arrays of an archive by name.
///
/// A member must have exactly the size that its npy header asks for, and one that the compressed
/// size makes possible.
///
/// # Errors
/// [`File`](crate::ErrorKind::File) if the archive is damaged or holds something other than npy
/// files, [`Unsupported`](crate::ErrorKind::Unsupported) for other dtypes or compression methods,
/// [`Memory`](crate::ErrorKind::Memory) if there is no memory. They name the member.
pub fn read(input: impl Read + Seek) -> Result<BTreeMap<String, Array>> {
    let parse = |mut input: Box<dyn ReadSeek + '_>| -> Result<BTreeMap<String, Array>> {
        let length = input.seek(std::io::SeekFrom::End(0))?;
        let mut archive = ZipArchive::new(input).map_err(zip_error)?;
        let (mut arrays, mut compressed) = (BTreeMap::new(), 0u64);
        for i in 0..archive.len() {
            let member = archive.by_index(i).map_err(zip_error)?;
            let name = member.name().map_err(zip_error)?.into_owned();
            compressed = compressed.saturating_add(member.compressed_size());
            // Otherwise members share bytes, and a small file can hold any amount of data.
            ensure!(compressed <= length, File, "the members are longer than the file");
            let (size, packed) = (member.size(), member.compressed_size());
            let Some(key) = name.strip_suffix(".npy") else {
                bail!(File, "member {name:?} is not an npy file");
            };
            ensure!(
                size <= packed.saturating_mul(MAX_RATIO),
                File,
                "member {name:?} claims to be {size} bytes, compressed to {packed}"
            );
            let array = read_member(member, size)
                .map_err(|e| e.context(format_args!("member {name:?}")))?;
            let twice = arrays.insert(key.to_owned(), array).is_some();
            ensure!(!twice, File, "there are two members {name:?}");
        }
        Ok(arrays)
    };
    parse(Box::new(input)).map_err(|e| e.context("npz"))
}

trait ReadSeek: Read + Seek {}
impl<T: Read + Seek> ReadSeek for T {}

/// Reads an npy file of `size` bytes.
fn read_member(mut member: impl Read, size: u64) -> Result<Array> {
    let mut front = Vec::new();
    read_more(&mut member, &mut front, size.min(12))?;
    let length = Header::announced(&front)? as u64;
    ensure!(length <= size, File, "it ends within its header");
    read_more(&mut member, &mut front, length.saturating_sub(12))?;
    let header = Header::parse(&front)?;
    let needed = byte_count(header.dtype, &header.shape)?;
    ensure!(
        length.checked_add(needed as u64) == Some(size),
        File,
        "its header announces {}{:?}, which is {needed} bytes, but {} follow",
        header.dtype,
        header.shape,
        size - length
    );
    let mut data = Vec::new();
    // A header shorter than what was read at first leaves some data there.
    data.extend_from_slice(front.get(header.length..).unwrap_or_default());
    let missing = (needed - data.len()) as u64;
    read_more(&mut member, &mut data, missing)?;
    // Reading to the end also compares the checksum.
    ensure!(member.read(&mut [0])? == 0, File, "it is longer than announced");
    from_raw(header.dtype, header.shape, data, header.big_endian, header.fortran)
}

/// Reads exactly `n` more bytes, taking memory as they come.
fn read_more(input: &mut impl Read, out: &mut Vec<u8>, mut n: u64) -> Result<()> {
    while n > 0 {
        let step = n.min(STEP as u64) as usize;
        if out.try_reserve(step).is_err() {
            bail!(Memory, "no memory for {} bytes", out.len().saturating_add(step));
        }
        let from = out.len();
        out.resize(from + step, 0);
        input.read_exact(&mut out[from..])?;
        n -= step as u64;
    }
    Ok(())
}

/// Reads the arrays of a file by name.
///
/// # Errors
/// As [`read`]; they name the path.
pub fn load(path: impl AsRef<Path>) -> Result<BTreeMap<String, Array>> {
    let path = path.as_ref();
    let open = || read(BufReader::new(File::open(path)?));
    open().map_err(|e| e.context(path.display()))
}

/// Writes arrays under their names.
///
/// # Errors
/// As [`npy::write`]; they name the array.
///
/// ```
/// use std::collections::BTreeMap;
/// use tengen_core::files::{Array, npz};
/// let arrays = BTreeMap::from([("x".to_owned(), Array::from_slice(&[2], &[1.0f32, 2.0])?)]);
/// let mut bytes = Vec::new();
/// npz::write(&mut bytes, &arrays, npz::Compression::Deflated)?;
/// assert_eq!(npz::read(std::io::Cursor::new(bytes))?, arrays);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn write(
    out: impl Write,
    arrays: &BTreeMap<String, Array>,
    compression: Compression,
) -> Result<()> {
    let method = match compression {
        Compression::Stored => CompressionMethod::Stored,
        Compression::Deflated => CompressionMethod::Deflated,
    };
    let mut archive = ZipWriter::new_stream(out);
    for (name, array) in arrays {
        let mut add = || -> Result<()> {
            // Beyond 4 GiB, less a margin for the header and what does not compress.
            let large = array.data.len() as u64 > u64::from(u32::MAX) - (1 << 24);
            let options = SimpleFileOptions::default().compression_method(method).large_file(large);
            archive.start_file(format!("{name}.npy"), options).map_err(zip_error)?;
            npy::write(&mut archive, array)
        };
        add().map_err(|e| e.context(format_args!("npz: array {name:?}")))?;
    }
    archive.finish().map_err(zip_error)?.into_inner().flush()?;
    Ok(())
}

/// Writes arrays to a file, atomically.
///
/// # Errors
/// As [`write()`]; they name the path.
pub fn save(
    path: impl AsRef<Path>,
    arrays: &BTreeMap<String, Array>,
    compression: Compression,
) -> Result<()> {
    atomic::write(path, |out| write(out, arrays, compression))
}

fn zip_error(e: zip::result::ZipError) -> Error {
    let kind = match e {
        zip::result::ZipError::UnsupportedArchive(_)
        | zip::result::ZipError::CompressionMethodNotSupported(_) => ErrorKind::Unsupported,
        _ => ErrorKind::File,
    };
    Error::new(kind, e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;
    use std::io::Cursor;

    fn arrays() -> BTreeMap<String, Array> {
        BTreeMap::from([
            ("x".into(), Array::from_slice(&[2, 3], &[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap()),
            ("a/b".into(), Array::from_slice(&[], &[true]).unwrap()),
            ("empty".into(), Array::from_slice::<i64>(&[0, 4], &[]).unwrap()),
            ("zeros".into(), Array::new(DType::U8, vec![100_000], vec![0; 100_000]).unwrap()),
        ])
    }

    fn packed(compression: Compression) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out, &arrays(), compression).unwrap();
        out
    }

    #[test]
    fn arrays_survive_the_way_there_and_back() {
        for compression in [Compression::Stored, Compression::Deflated] {
            let bytes = packed(compression);
            assert_eq!(read(Cursor::new(&bytes)).unwrap(), arrays());
            assert_eq!(packed(compression), bytes);
        }
        assert!(packed(Compression::Deflated).len() < 10_000);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        save(&path, &arrays(), Compression::Stored).unwrap();
        assert_eq!(load(&path).unwrap(), arrays());
    }

    #[test]
    fn damage_is_an_error() {
        let bytes = packed(Compression::Deflated);
        for end in (0..bytes.len()).step_by(7) {
            assert!(read(Cursor::new(&bytes[..end])).is_err());
        }
        let mut seed = 1u64;
        for _ in 0..3000 {
            let mut bytes = bytes.clone();
            for _ in 0..3 {
                seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let at = (seed >> 33) as usize % bytes.len();
                bytes[at] = (seed >> 20) as u8;
            }
            let _ = read(Cursor::new(&bytes));
        }
    }

    #[test]
    fn members_that_are_not_arrays_are_refused() {
        let pack = |name: &str, content: &[u8]| {
            let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
            archive.start_file(name, SimpleFileOptions::default()).unwrap();
            archive.write_all(content).unwrap();
            read(archive.finish().unwrap())
        };
        assert!(pack("a.txt", b"hello").unwrap_err().to_string().contains("a.txt"));
        assert!(pack("a.npy", b"hello").unwrap_err().to_string().contains("a.npy"));
        let mut huge = Vec::new();
        npy::write(&mut huge, &Array::from_slice(&[8], &[0u8; 8]).unwrap()).unwrap();
        assert!(pack("a.npy", &huge).is_ok());
        let at = huge.windows(4).position(|w| w == b"(8,)").unwrap();
        huge[at..at + 17].copy_from_slice(b"(8888888888888,)}");
        let error = pack("a.npy", &huge).unwrap_err();
        assert!(error.to_string().contains("8888888888888 bytes"), "{error}");
    }
}
