//! A job's output: kept from its beginning and its end, bounded in size, and never in the job's way.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Share of the limit that the tail gets.
const TAIL: u64 = 16;

/// Output of one attempt on its way to the file.
#[derive(Debug)]
pub struct Log {
    file: Option<File>,
    room: u64,
    tail: VecDeque<u8>,
    tail_limit: usize,
    dropped: u64,
}

impl Log {
    /// Appends to the file, which is made with its directories if it is not there. A file that cannot be opened loses
    /// the output, and says how much at the end; it does not stop the job.
    #[must_use]
    pub fn open(path: &Path, limit: u64) -> Self {
        let file = path
            .parent()
            .map_or(Ok(()), std::fs::create_dir_all)
            .and_then(|()| OpenOptions::new().append(true).create(true).mode(0o600).open(path));
        let tail = limit / TAIL;
        Self {
            file: file.ok(),
            room: limit - tail,
            tail: VecDeque::new(),
            tail_limit: usize::try_from(tail.min(4 << 20)).unwrap_or(4 << 20),
            dropped: 0,
        }
    }

    /// Takes output. What is beyond the limit pushes older output out of the tail.
    pub fn put(&mut self, bytes: &[u8]) {
        let head = bytes.len().min(usize::try_from(self.room).unwrap_or(usize::MAX));
        let written =
            self.file.as_mut().map_or(Err(io::ErrorKind::NotFound.into()), |file| file.write_all(&bytes[..head]));
        self.room -= head as u64;
        if written.is_err() {
            self.dropped += head as u64;
        }
        for byte in &bytes[head..] {
            if self.tail.len() == self.tail_limit {
                self.tail.pop_front();
                self.dropped += 1;
            }
            self.tail.push_back(*byte);
        }
    }

    /// Writes the tail behind a line that marks the cut. Gives the number of bytes that were not kept.
    pub fn close(mut self) -> u64 {
        if let Some(file) = &mut self.file {
            let tail: Vec<u8> = self.tail.into();
            let cut = if self.dropped > 0 && !tail.is_empty() {
                format!("\n── {} bytes of output were not kept ──\n", self.dropped)
            } else {
                String::new()
            };
            // A full disk loses the tail as well; the number below says what was lost before.
            let _ = file.write_all(cut.as_bytes()).and_then(|()| file.write_all(&tail));
        }
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn head_and_tail_are_kept_and_the_cut_is_marked() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("deep/er/log");
        let mut log = Log::open(&path, 160);
        for n in 0..100 {
            log.put(format!("{n:09}\n").as_bytes());
        }
        assert_eq!(log.close(), 1_000 - 160);
        let text = std::fs::read_to_string(&path).expect("written");
        assert!(text.starts_with("000000000\n000000001\n"), "{text}");
        assert!(text.contains("── 840 bytes of output were not kept ──"), "{text}");
        assert!(text.ends_with("000000099\n"), "{text}");
    }

    #[test]
    fn what_cannot_be_written_is_counted_and_stops_nobody() {
        let mut log = Log::open(Path::new("/proc/nowhere/log"), 1 << 20);
        log.put(b"hello");
        assert_eq!(log.close(), 5);
    }
}
