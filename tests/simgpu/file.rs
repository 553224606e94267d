//! A value in a mapped file that several processes share: changed under a lock, written to the older of two slots and
//! published by number and checksum, so that a process killed in the middle leaves the other slot whole.
#![expect(unsafe_code, reason = "mapping a file is a promise about its other users: they all come through here")]

use bytemuck::Pod;
use memmap2::MmapMut;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

const HEAD: usize = 16;

#[derive(Debug)]
pub(crate) struct Mapped<T> {
    file: File,
    map: Mutex<MmapMut>,
    kind: PhantomData<T>,
}

impl<T: Pod> Mapped<T> {
    const SLOT: usize = HEAD + (size_of::<T>()).next_multiple_of(8);

    /// Makes the file with a first value.
    pub(crate) fn make(path: &Path, value: &T) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        file.set_len(2 * Self::SLOT as u64)?;
        let made = Self::over(file)?;
        {
            let mut map = made.map.lock().unwrap_or_else(PoisonError::into_inner);
            Self::write(&mut map, 0, 1, value);
        }
        Ok(made)
    }

    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        if file.metadata()?.len() != 2 * Self::SLOT as u64 {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} has another layout", path.display())));
        }
        Self::over(file)
    }

    fn over(file: File) -> io::Result<Self> {
        // SAFETY: the file is changed by this module alone, under its lock.
        let map = unsafe { MmapMut::map_mut(&file)? };
        Ok(Self { file, map: Mutex::new(map), kind: PhantomData })
    }

    /// Changes the value, alone among all threads and processes.
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut T) -> R) -> io::Result<R> {
        let mut map = self.map.lock().unwrap_or_else(PoisonError::into_inner);
        flock(&self.file, FlockOperation::LockExclusive)?;
        let read = Self::newest(&map);
        let answer = read.map(|(slot, number, before)| {
            let mut value = before;
            let answer = change(&mut value);
            if bytemuck::bytes_of(&value) != bytemuck::bytes_of(&before) {
                Self::write(&mut map, 1 - slot, number + 1, &value);
            }
            answer
        });
        flock(&self.file, FlockOperation::Unlock)?;
        answer.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no slot is whole"))
    }

    fn newest(map: &MmapMut) -> Option<(usize, u64, T)> {
        let slots = [0, 1].into_iter().filter_map(|slot| {
            let bytes = &map[slot * Self::SLOT..][..Self::SLOT];
            let number = u64::from_le_bytes(bytes[..8].try_into().ok()?);
            let sum = u64::from_le_bytes(bytes[8..HEAD].try_into().ok()?);
            let body = &bytes[HEAD..][..size_of::<T>()];
            (number > 0 && sum == checksum(number, body)).then(|| (slot, number, bytemuck::pod_read_unaligned(body)))
        });
        slots.max_by_key(|(_, number, _)| *number)
    }

    fn write(map: &mut MmapMut, slot: usize, number: u64, value: &T) {
        let bytes = &mut map[slot * Self::SLOT..][..Self::SLOT];
        let body = bytemuck::bytes_of(value);
        bytes[HEAD..][..body.len()].copy_from_slice(body);
        bytes[8..HEAD].copy_from_slice(&checksum(number, body).to_le_bytes());
        bytes[..8].copy_from_slice(&number.to_le_bytes());
    }
}

fn checksum(number: u64, body: &[u8]) -> u64 {
    let mut sum = crc32fast::Hasher::new_with_initial(number as u32);
    sum.update(body);
    u64::from(sum.finalize()) | (number & 0xFFFF_FFFF) << 32
}
