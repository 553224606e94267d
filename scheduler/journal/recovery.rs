//! Reads what is there and decides what it means: a clean end, a torn tail, or damage.
//!
//! The rule: where frames stop making sense, with sequence number *s* expected, any later intact frame that says
//! `synced ≥ s` proves that *s* had been acknowledged. Then it is damage and nothing is touched. Otherwise the batch in
//! flight was torn by a power cut, and is cleared.

use super::disk::{Disk, DiskFile};
use super::frame::{BLOCK, Bad, Chain, Frame, Header, JournalId, expected, intact};
use super::{JournalError, SEGMENTS, segment_name};

/// Where a recovery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The journal.
    pub id: JournalId,
    /// Last segment.
    pub segment: String,
    /// Where the next batch goes in it.
    pub offset: usize,
    /// Last sequence number; 0: none.
    pub seq: u64,
    /// Chain value there.
    pub chain: Chain,
    /// File, offset and length of a torn tail that was cleared.
    pub torn: Option<(String, usize, usize)>,
}

/// Reads all segments in order, hands every frame to `take`, and clears a torn tail.
pub fn recover<D: Disk>(
    disk: &D,
    mut take: impl FnMut(&Frame<'_>) -> Result<(), JournalError>,
) -> Result<Option<End>, JournalError> {
    let failed = |doing, name: &str| {
        let name = name.to_owned();
        move |source| JournalError::Io { doing, name, source }
    };
    let mut names = disk.list(SEGMENTS).map_err(failed("list", SEGMENTS))?;
    names.retain(|name| name.ends_with(".seg"));
    names.sort();
    let mut end: Option<End> = None;
    for (number, name) in names.iter().enumerate() {
        let path = format!("{SEGMENTS}/{name}");
        let mut file = disk.open(&path).map_err(failed("open", &path))?;
        let bytes = file.read_all().map_err(failed("read", &path))?;
        let header = Header::read(&bytes).map_err(|bad| match bad {
            Bad::Unknown(..) => JournalError::Format { name: path.clone(), found: "another format".to_owned() },
            _ => JournalError::Damage { name: path.clone(), offset: 0, seq: end.as_ref().map_or(1, |e| e.seq + 1) },
        })?;
        let (id, seq, chain) =
            end.as_ref().map_or((header.id, header.first - 1, header.before), |e| (e.id, e.seq, e.chain));
        if header.id != id || header.first != seq + 1 || header.before != chain || *name != segment_name(header.first) {
            return Err(JournalError::Damage { name: path, offset: 0, seq: seq + 1 });
        }
        let mut here = End { id, segment: path.clone(), offset: BLOCK, seq, chain, torn: end.and_then(|e| e.torn) };
        if let Some(bad) = read_segment(&bytes, &mut here, &mut take)? {
            let expected = here.seq + 1;
            let last = number + 1 == names.len();
            if !last || proves_damage(&bytes[bad..], &id, expected) {
                return Err(JournalError::Damage { name: path, offset: bad as u64, seq: expected });
            }
            // Only now is anything written: zeros over what was never acknowledged.
            file.write_at(&vec![0; bytes.len() - bad], bad as u64).map_err(failed("clear the torn tail of", &path))?;
            here.torn = Some((path.clone(), bad, bytes.len() - bad));
        }
        if number + 1 == names.len() {
            // What was read may have been in the page cache only.
            file.sync_data().map_err(failed("sync", &path))?;
        }
        end = Some(here);
    }
    Ok(end)
}

/// Reads frames up to the end. Gives the offset of the first place that is neither frame, padding nor clean end.
fn read_segment(
    bytes: &[u8],
    end: &mut End,
    take: &mut impl FnMut(&Frame<'_>) -> Result<(), JournalError>,
) -> Result<Option<usize>, JournalError> {
    let mut at = BLOCK;
    while at < bytes.len() {
        match expected(&bytes[at..], &end.id, &end.chain, end.seq + 1) {
            Ok(frame) => {
                take(&frame)?;
                at += frame.length;
                (end.seq, end.chain) = (frame.seq, frame.chain);
                end.offset = at.next_multiple_of(BLOCK);
            }
            Err(Bad::Unknown(version, kind)) => {
                let found = format!("frame version {version}, kind {kind} at offset {at}");
                return Err(JournalError::Format { name: end.segment.clone(), found });
            }
            Err(_) => {
                let next = (at + 1).next_multiple_of(BLOCK).min(bytes.len());
                let blank = bytes[at..next].iter().all(|byte| *byte == 0);
                if blank && !at.is_multiple_of(BLOCK) {
                    at = next; // padding behind a batch
                } else if blank && bytes[at..].iter().all(|byte| *byte == 0) {
                    return Ok(None);
                } else {
                    return Ok(Some(at));
                }
            }
        }
    }
    Ok(None)
}

/// Whether any intact frame behind the bad place says that `seq` had been synced.
fn proves_damage(bytes: &[u8], id: &JournalId, seq: u64) -> bool {
    (0..bytes.len()).step_by(8).any(|at| intact(&bytes[at..], id).is_ok_and(|frame| frame.synced >= seq))
}
