//! NumPy's `.npy` files: one array each.
//!
//! The format is that of NumPy Enhancement Proposal 1: a magic string, a version, and a header that
//! is the text of a Python dictionary. The header is parsed strictly and never evaluated.

use super::{Array, atomic, byte_count, from_raw, numpy_dtype, read_file, try_copy};
use crate::{DType, Result, bail, ensure};
use std::io::Write;
use std::path::Path;

const MAGIC: &[u8] = b"\x93NUMPY";
/// Headers are padded so that data starts at a multiple of this.
const ALIGN: usize = 64;

/// Reads an array from the bytes of a file.
///
/// Any byte order and both element orders are understood.
///
/// # Errors
/// [`File`](crate::ErrorKind::File) if these are not exactly the bytes of an array,
/// [`Unsupported`](crate::ErrorKind::Unsupported) if no [`DType`] matches,
/// [`Memory`](crate::ErrorKind::Memory) if there is no memory.
///
/// ```
/// use tengen_core::files::{Array, npy};
/// let array = Array::from_slice(&[3], &[1i32, 2, 3])?;
/// let mut bytes = Vec::new();
/// npy::write(&mut bytes, &array)?;
/// assert_eq!(npy::read(&bytes)?, array);
/// # Ok::<(), tengen_core::Error>(())
/// ```
pub fn read(bytes: &[u8]) -> Result<Array> {
    let parse = || -> Result<Array> {
        let header = Header::parse(bytes)?;
        let data = &bytes[header.length..];
        let needed = byte_count(header.dtype, &header.shape)?;
        ensure!(
            data.len() == needed,
            File,
            "the header announces {}{:?}, which is {needed} bytes, but {} follow",
            header.dtype,
            header.shape,
            data.len()
        );
        from_raw(header.dtype, header.shape, try_copy(data)?, header.big_endian, header.fortran)
    };
    parse().map_err(|e| e.context("npy"))
}

/// Reads the array of a file.
///
/// # Errors
/// As [`read`]; they name the path.
pub fn load(path: impl AsRef<Path>) -> Result<Array> {
    let path = path.as_ref();
    read(&read_file(path)?).map_err(|e| e.context(path.display()))
}

/// Writes an array, in version 1 of the format unless the header is too long for it.
///
/// # Errors
/// [`Unsupported`](crate::ErrorKind::Unsupported) for bfloat16, which the format does not have;
/// [`File`](crate::ErrorKind::File) if the array is inconsistent or writing fails.
pub fn write(mut out: impl Write, array: &Array) -> Result<()> {
    let kind = match array.dtype {
        DType::BF16 => bail!(
            Unsupported,
            "npy: the format has no bfloat16; convert to float32, or save as safetensors"
        ),
        DType::Bool => 'b',
        DType::U8 => 'u',
        d if d.is_float() => 'f',
        _ => 'i',
    };
    let bytes = byte_count(array.dtype, &array.shape)?;
    ensure!(
        array.data.len() == bytes,
        File,
        "npy: {}{:?} has {} bytes of data in place of {bytes}",
        array.dtype,
        array.shape,
        array.data.len()
    );
    let size = array.dtype.size();
    let order = if size == 1 { '|' } else { '<' };
    let mut shape: String = array.shape.iter().map(|n| format!("{n}, ")).collect();
    if array.shape.len() == 1 {
        shape.pop();
    } else {
        shape.truncate(shape.len().saturating_sub(2));
    }
    let mut header =
        format!("{{'descr': '{order}{kind}{size}', 'fortran_order': False, 'shape': ({shape}), }}");
    // Version 1 has two bytes for the header's length, version 2 four.
    let fits = |prefix: usize| (prefix + header.len() + 1).next_multiple_of(ALIGN) - prefix;
    let (version, length) = match u16::try_from(fits(10)) {
        Ok(length) => (1u8, length.to_le_bytes().to_vec()),
        Err(_) => (2, (fits(12) as u32).to_le_bytes().to_vec()),
    };
    let prefix = MAGIC.len() + 2 + length.len();
    let padding = fits(prefix) - header.len() - 1;
    header.extend(std::iter::repeat_n(' ', padding));
    header.push('\n');
    out.write_all(MAGIC)?;
    out.write_all(&[version, 0])?;
    out.write_all(&length)?;
    out.write_all(header.as_bytes())?;
    out.write_all(&array.data)?;
    Ok(())
}

/// Writes an array to a file, atomically.
///
/// # Errors
/// As [`write()`]; they name the path.
pub fn save(path: impl AsRef<Path>, array: &Array) -> Result<()> {
    atomic::write(path, |out| write(out, array))
}

/// What a header says.
#[derive(Debug, PartialEq)]
pub(super) struct Header {
    pub dtype: DType,
    pub big_endian: bool,
    pub fortran: bool,
    pub shape: Vec<usize>,
    /// How many bytes come before the data.
    pub length: usize,
}

impl Header {
    /// Parses the front of a file.
    pub fn parse(bytes: &[u8]) -> Result<Header> {
        let length = Header::announced(bytes)?;
        let Some(text) = bytes.get(Header::prefix(bytes[6])..length) else {
            bail!(File, "the file ends within its header of {length} bytes");
        };
        let Ok(text) = std::str::from_utf8(text) else { bail!(File, "the header is not text") };
        let parsed = Parser { rest: text }.header();
        parsed.map_err(|e| e.context(format_args!("in the header {:?}", excerpt(text)))).and_then(
            |(descr, fortran, shape)| {
                let (dtype, big_endian) = descr_dtype(&descr)?;
                Ok(Header { dtype, big_endian, fortran, shape, length })
            },
        )
    }

    /// How many bytes the front of a file says come before the data; 12 bytes suffice to tell.
    pub fn announced(bytes: &[u8]) -> Result<usize> {
        ensure!(bytes.starts_with(MAGIC), File, "the file does not start like an npy file");
        let (length, version) = match bytes[MAGIC.len()..] {
            [1, 0, a, b, ..] => (u16::from_le_bytes([a, b]).into(), 1),
            [v @ (2 | 3), 0, a, b, c, d, ..] => (u32::from_le_bytes([a, b, c, d]), v),
            [1..=3, 0, ..] | [1..=3] | [] => bail!(File, "the file ends within its header"),
            [major, ref rest @ ..] => bail!(
                Unsupported,
                "version {major}.{} is not supported; versions 1.0, 2.0 and 3.0 are",
                rest.first().unwrap_or(&0)
            ),
        };
        match usize::try_from(length).ok().and_then(|n| n.checked_add(Header::prefix(version))) {
            Some(length) => Ok(length),
            None => bail!(File, "the header is {length} bytes long"),
        }
    }

    fn prefix(version: u8) -> usize {
        if version == 1 { 10 } else { 12 }
    }
}

/// The dtype of an array description such as `<f4`, and whether it is big-endian.
fn descr_dtype(descr: &str) -> Result<(DType, bool)> {
    let order = descr.chars().next().filter(|c| "<>|=".contains(*c));
    let dtype = numpy_dtype(&descr[order.map_or(0, char::len_utf8)..])?;
    if order.is_none() || (order == Some('|') && dtype.size() > 1) {
        bail!(File, "{descr:?} does not tell the byte order");
    }
    Ok((dtype, order == Some('>') || (order == Some('=') && cfg!(target_endian = "big"))))
}

/// The start of a text, for messages.
fn excerpt(text: &str) -> String {
    text.trim_end().chars().take(120).collect()
}

/// A parser of exactly the dictionary that headers consist of.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn header(mut self) -> Result<(String, bool, Vec<usize>)> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        self.expect('{')?;
        while !self.take('}') {
            let key = self.string()?;
            self.expect(':')?;
            let new = match key {
                "descr" => descr.replace(self.descr()?).is_none(),
                "fortran_order" => fortran.replace(self.boolean()?).is_none(),
                "shape" => shape.replace(self.shape()?).is_none(),
                _ => bail!(File, "unknown key {key:?}"),
            };
            ensure!(new, File, "{key:?} comes twice");
            if !self.take(',') {
                self.expect('}')?;
                break;
            }
        }
        let end = self.rest.trim_matches([' ', '\n', '\0']);
        ensure!(end.is_empty(), File, "{:?} follows the dictionary", excerpt(end));
        match (descr, fortran, shape) {
            (Some(descr), Some(fortran), Some(shape)) => Ok((descr, fortran, shape)),
            _ => bail!(File, "needs the keys 'descr', 'fortran_order' and 'shape'"),
        }
    }

    /// Skips blanks and then this character, if it comes next.
    fn take(&mut self, c: char) -> bool {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n']);
        let rest = self.rest.strip_prefix(c);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn expect(&mut self, c: char) -> Result<()> {
        ensure!(self.take(c), File, "expected {c:?} before {:?}", excerpt(self.rest));
        Ok(())
    }

    fn string(&mut self) -> Result<&'a str> {
        let quote = if self.take('\'') {
            '\''
        } else {
            self.expect('"')?;
            '"'
        };
        match self.rest.split_once(quote) {
            Some((text, rest)) if !text.contains('\\') => {
                self.rest = rest;
                Ok(text)
            }
            _ => bail!(File, "expected a plain string before {:?}", excerpt(self.rest)),
        }
    }

    fn descr(&mut self) -> Result<String> {
        if self.take('[') {
            bail!(Unsupported, "arrays of records are not supported");
        }
        Ok(self.string()?.to_owned())
    }

    fn word(&mut self) -> &'a str {
        self.take('\0');
        let end = self.rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn boolean(&mut self) -> Result<bool> {
        match self.word() {
            "True" => Ok(true),
            "False" => Ok(false),
            word => bail!(File, "expected True or False in place of {word:?}"),
        }
    }

    fn shape(&mut self) -> Result<Vec<usize>> {
        let mut shape = Vec::new();
        self.expect('(')?;
        while !self.take(')') {
            let word = self.word();
            // Python 2 wrote an L behind long integers.
            match word.strip_suffix('L').unwrap_or(word).parse() {
                Ok(n) if word.starts_with(|c: char| c.is_ascii_digit()) => shape.push(n),
                _ => bail!(File, "expected a length in place of {word:?}"),
            }
            if !self.take(',') {
                self.expect(')')?;
                ensure!(shape.len() != 1, File, "the shape is not a tuple");
                break;
            }
        }
        Ok(shape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn file(version: u8, header: &str, data: &[u8]) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend([version, 0]);
        match version {
            1 => out.extend((header.len() as u16).to_le_bytes()),
            _ => out.extend((header.len() as u32).to_le_bytes()),
        }
        out.extend(header.as_bytes());
        out.extend(data);
        out
    }

    #[test]
    fn arrays_survive_the_way_there_and_back() {
        for dtype in DType::ALL {
            for shape in [vec![], vec![0], vec![3], vec![2, 3], vec![1, 0, 2], vec![1; 30]] {
                let bytes = byte_count(dtype, &shape).unwrap();
                let data = (0..bytes).map(|i| (i % 2) as u8).collect();
                let array = Array::new(dtype, shape, data).unwrap();
                let mut out = Vec::new();
                let result = write(&mut out, &array);
                if dtype == DType::BF16 {
                    assert_eq!(result.unwrap_err().kind(), ErrorKind::Unsupported);
                    continue;
                }
                result.unwrap();
                assert_eq!((out.len() - array.data.len()) % ALIGN, 0);
                assert_eq!(read(&out).unwrap(), array);
                for end in 0..out.len() {
                    assert!(read(&out[..end]).is_err());
                }
            }
        }
        let array = Array::new(DType::U8, vec![1; 40_000], vec![7]).unwrap();
        let mut out = Vec::new();
        write(&mut out, &array).unwrap();
        assert_eq!(out[6], 2);
        assert_eq!(read(&out).unwrap(), array);
    }

    #[test]
    fn every_version_byte_order_and_element_order_is_read() {
        let big = file(
            2,
            "{\"shape\":(2L,2L),'descr': '>i2','fortran_order':True}  \n",
            &[0, 1, 0, 3, 0, 2, 0, 4],
        );
        let array = read(&big).unwrap();
        assert_eq!(array.shape, [2, 2]);
        assert_eq!(array.to_vec::<i16>().unwrap(), [1, 2, 3, 4]);
        let third = file(3, "{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }", &[0, 9]);
        assert_eq!(read(&third).unwrap().to_vec::<bool>().unwrap(), [false, true]);
    }

    #[test]
    fn foreign_headers_are_refused() {
        let good = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }";
        assert!(read(&file(1, good, &[0; 4])).is_ok());
        assert!(read(&file(1, good, &[0; 5])).is_err());
        for (from, to) in [
            ("'<f4'", "'f4'"),
            ("'<f4'", "'|f4'"),
            ("'<f4'", "'é4'"),
            ("'<f4'", "__import__('os')"),
            ("False", "0"),
            ("False", "Falsely"),
            ("(1,)", "(1)"),
            ("(1,)", "1"),
            ("(1,)", "(-1,)"),
            ("(1,)", "(+1,)"),
            ("(1,)", "(1,,)"),
            ("(1,)", "(1.0,)"),
            ("(1,)", "(99999999999999999999,)"),
            ("(1,)", "(9999999999999,)"),
            ("'shape'", "'shape': (1,), 'shape'"),
            ("'shape'", "'more'"),
            (", 'shape': (1,), }", "}"),
            ("}", "} + {}"),
            ("}", ""),
            ("{", "{{"),
        ] {
            assert_ne!(good.replace(from, to), good);
            let error = read(&file(1, &good.replace(from, to), &[0; 4])).unwrap_err();
            assert!(matches!(error.kind(), ErrorKind::File | ErrorKind::Unsupported), "{error}");
        }
        let error = read(&file(4, good, &[0; 4])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn unsupported_types_are_named() {
        for (descr, name) in [
            ("'<u4'", "uint32"),
            ("'<c8'", "complex64"),
            ("'|O'", "object"),
            ("'<U3'", "str"),
            ("[('a', '<f4')]", "records"),
        ] {
            let header = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (1,), }}");
            let error = read(&file(1, &header, &[0; 4])).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn files_are_saved_and_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npy");
        let array = Array::from_slice(&[2], &[1.5f64, -2.0]).unwrap();
        save(&path, &array).unwrap();
        assert_eq!(load(&path).unwrap(), array);
        let error = load(folder.path().join("b.npy")).unwrap_err();
        assert!(error.to_string().contains("b.npy"), "{error}");
    }
}
