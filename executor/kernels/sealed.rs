//! Files that are whole or absent: written beside, synced, renamed, and closed with a checksum. A damaged one is refused, never repaired.

use super::KernelError;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// A running FNV-1a, 64 bits: it finds damage, not malice.
#[derive(Clone, Copy, Debug)]
pub struct Fnv(pub u64);

impl Fnv {
    /// Before the first byte.
    pub const START: Self = Self(0xcbf2_9ce4_8422_2325);

    /// With more bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> u64 {
        let mut fnv = Self::START;
        fnv.update(bytes);
        fnv.0
    }
}

/// Writes a file by `fill` so that after a power cut there is the old one or the new one.
pub fn replace(path: &Path, fill: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<(), KernelError> {
    let mut name = path.file_name().map_or_else(OsString::new, ToOwned::to_owned);
    name.push(format!(".new-{}", std::process::id()));
    let beside = path.with_file_name(name);
    let written = (|| {
        let mut file = BufWriter::new(File::create(&beside)?);
        fill(&mut file)?;
        file.into_inner().map_err(|e| e.into_error())?.sync_all()?;
        fs::rename(&beside, path)?;
        File::open(directory(path))?.sync_all()
    })();
    written.map_err(|source| {
        // The write has failed already; a leftover is all that can be lost here.
        let _ = fs::remove_file(&beside);
        KernelError::Write { path: path.to_owned(), source }
    })
}

fn directory(path: &Path) -> PathBuf {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// Writes `magic`, `body`, checksum.
pub fn save(path: &Path, magic: &[u8; 8], body: &[u8]) -> Result<(), KernelError> {
    let mut sum = Fnv::START;
    sum.update(magic);
    sum.update(body);
    replace(path, |file| {
        file.write_all(magic)?;
        file.write_all(body)?;
        file.write_all(&sum.0.to_le_bytes())
    })
}

/// The body of what [`save`] wrote.
pub fn load(path: &Path, magic: &[u8; 8]) -> Result<Vec<u8>, KernelError> {
    let damaged = |what| KernelError::Damaged { path: path.to_owned(), what };
    let mut bytes = fs::read(path).map_err(|source| KernelError::Read { path: path.to_owned(), source })?;
    if !bytes.starts_with(magic) {
        return Err(damaged("another kind of file, or another version"));
    }
    let Some(end) = bytes.len().checked_sub(8).filter(|&end| end >= magic.len()) else {
        return Err(damaged("cut short"));
    };
    if Fnv::of(&bytes[..end]).to_le_bytes() != bytes[end..] {
        return Err(damaged("the checksum differs"));
    }
    bytes.truncate(end);
    bytes.drain(..magic.len());
    Ok(bytes)
}

/// Takes little-endian fields from the front; `None` past the end.
#[derive(Debug)]
pub struct Fields<'a>(pub &'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*head)
    }

    /// The next 4 bytes.
    pub fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    /// The next 8 bytes.
    pub fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// The next `count` numbers.
    pub fn f32s(&mut self, count: usize) -> Option<Vec<f32>> {
        let (head, rest) = self.0.split_at_checked(count.checked_mul(4)?)?;
        self.0 = rest;
        Some(floats(head).collect())
    }

    /// Whether nothing is left.
    pub fn done(&self) -> bool {
        self.0.is_empty()
    }
}

/// Numbers as bytes, little-endian.
pub fn bytes(numbers: &[f32], into: &mut Vec<u8>) {
    into.reserve(numbers.len() * 4);
    for number in numbers {
        into.extend_from_slice(&number.to_le_bytes());
    }
}

/// Bytes as numbers; a rest of less than four bytes is left out.
pub fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]]))
}
