//! A disk of sectors. What was synced survives a power cut; of what was not, any sectors do and any do not.

use crate::journal::disk::{Disk, DiskFile};
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

pub const SECTOR: usize = 512;

/// Content as programs see it, and as it would survive.
#[derive(Clone, Debug, Default)]
pub struct Inode {
    seen: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Clone, Debug, Default)]
pub struct State {
    pub inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    /// Writes and syncs still allowed; `None`: any number.
    pub budget: Option<usize>,
    /// Bytes that can still be made; `None`: any number.
    pub space: Option<usize>,
    pub syncs: usize,
}

impl State {
    fn spend(&mut self) -> io::Result<()> {
        match &mut self.budget {
            Some(0) => Err(io::Error::from_raw_os_error(5)),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub struct SimDisk(pub Arc<Mutex<State>>);

impl SimDisk {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nobody panics with the disk in hand")
    }

    /// Power fails. Of each file the sectors that differ from what was synced survive or not, as chance has it; so do
    /// names that were not synced.
    pub fn cut(&self, random: &mut StdRng) -> SimDisk {
        let old = self.state().clone();
        let mut new = State { names: old.durable_names.clone(), ..State::default() };
        if random.random_bool(0.5) {
            // Names in any state between: here all or none, since each operation of ours is synced by itself.
            new.names.clone_from(&old.names);
        }
        let keep = random.random_range(0.0..=1.0);
        for inode in &old.inodes {
            let mut content = inode.durable.clone();
            content.resize(inode.seen.len().max(content.len()), 0);
            for (number, sector) in inode.seen.chunks(SECTOR).enumerate() {
                let at = number * SECTOR;
                if content[at..at + sector.len()] != *sector && random.random_bool(keep) {
                    content[at..at + sector.len()].copy_from_slice(sector);
                }
            }
            new.inodes.push(Inode { seen: content.clone(), durable: content });
        }
        new.durable_names = new.names.clone();
        SimDisk(Arc::new(Mutex::new(new)))
    }

    /// Only the first `bytes` bytes of what is not synced in the largest file survive, in order.
    pub fn cut_prefix(&self, sectors: usize) -> SimDisk {
        let old = self.state().clone();
        let mut new = State { names: old.names.clone(), durable_names: old.names.clone(), ..State::default() };
        for inode in &old.inodes {
            let mut content = inode.durable.clone();
            content.resize(inode.seen.len().max(content.len()), 0);
            let mut left = sectors;
            for (number, sector) in inode.seen.chunks(SECTOR).enumerate() {
                let at = number * SECTOR;
                if content[at..at + sector.len()] != *sector && left > 0 {
                    left -= 1;
                    content[at..at + sector.len()].copy_from_slice(sector);
                }
            }
            new.inodes.push(Inode { seen: content.clone(), durable: content });
        }
        SimDisk(Arc::new(Mutex::new(new)))
    }

    /// Sectors that would be lost in the worst case.
    pub fn unsynced(&self) -> usize {
        let state = self.state();
        let differing = |inode: &Inode| {
            let durable = inode.durable.chunks(SECTOR).chain(std::iter::repeat(&[][..]));
            inode.seen.chunks(SECTOR).zip(durable).filter(|(seen, kept)| seen != kept).count()
        };
        state.inodes.iter().map(differing).sum()
    }

    /// Turns one bit of a segment over. Says in which file and where.
    pub fn flip(&self, random: &mut StdRng) -> (String, usize) {
        let mut state = self.state();
        let segments: Vec<(String, usize)> =
            state.names.iter().filter(|(n, _)| n.ends_with(".seg")).map(|(n, i)| (n.clone(), *i)).collect();
        let (name, inode) = segments[random.random_range(0..segments.len())].clone();
        let bit = random.random_range(0..state.inodes[inode].seen.len() * 8);
        let inode = &mut state.inodes[inode];
        inode.seen[bit / 8] ^= 1 << (bit % 8);
        inode.durable.clone_from(&inode.seen);
        (name, bit)
    }

    /// Everything as programs see it, to compare.
    pub fn image(&self) -> Vec<Vec<u8>> {
        self.state().inodes.iter().map(|inode| inode.seen.clone()).collect()
    }

    /// The same disk, apart.
    pub fn copy(&self) -> SimDisk {
        SimDisk(Arc::new(Mutex::new(self.state().clone())))
    }
}

#[derive(Debug)]
pub struct SimFile {
    disk: SimDisk,
    inode: usize,
}

impl Disk for SimDisk {
    type File = SimFile;

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let inode = *self.state().names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(SimFile { disk: self.clone(), inode })
    }

    fn zeros(&self, name: &str, size: usize) -> io::Result<()> {
        let mut state = self.state();
        state.spend()?;
        if let Some(space) = &mut state.space {
            *space = space.checked_sub(size).ok_or(io::ErrorKind::StorageFull)?;
        }
        let zeros = vec![0; size];
        state.inodes.push(Inode { seen: zeros.clone(), durable: zeros });
        let inode = state.inodes.len() - 1;
        state.names.insert(name.to_owned(), inode);
        Ok(())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let prefix = format!("{dir}/");
        Ok(self.state().names.keys().filter_map(|name| name.strip_prefix(&prefix)).map(str::to_owned).collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.spend()?;
        let inode = state.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
        state.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        let mut state = self.state();
        state.spend()?;
        let prefix = format!("{dir}/");
        let now: Vec<_> =
            state.names.iter().filter(|(n, _)| n.starts_with(&prefix)).map(|(n, i)| (n.clone(), *i)).collect();
        state.durable_names.retain(|name, _| !name.starts_with(&prefix));
        state.durable_names.extend(now);
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn read_all(&self) -> io::Result<Vec<u8>> {
        Ok(self.disk.state().inodes[self.inode].seen.clone())
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.spend()?;
        let (from, inode) = (usize::try_from(offset).expect("small"), &mut state.inodes[self.inode]);
        if inode.seen.len() < from + bytes.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        inode.seen[from..from + bytes.len()].copy_from_slice(bytes);
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.spend()?;
        state.syncs += 1;
        let inode = &mut state.inodes[self.inode];
        inode.durable.clone_from(&inode.seen);
        Ok(())
    }
}

impl Inode {
    /// A header with a right checksum and another format.
    pub fn become_format(&mut self, format: u8) {
        self.seen[7] = b'0' + format;
        let end = crate::journal::frame::BLOCK - 4;
        let crc = crc32fast::hash(&self.seen[..end]);
        self.seen[end..end + 4].copy_from_slice(&crc.to_le_bytes());
        self.durable.clone_from(&self.seen);
    }
}
