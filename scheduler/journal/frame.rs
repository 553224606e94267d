//! The bytes of segment headers and frames. No file is touched here.

use sha2::{Digest, Sha256};

/// Every batch begins on such a boundary, so that a write in flight never touches acknowledged bytes.
pub const BLOCK: usize = 4_096;
/// Bytes of a frame before its payload.
pub const HEAD: usize = 80;
/// Longest payload.
pub const PAYLOAD: usize = 2 << 20;
/// Finds frames again behind damage.
const MAGIC: u32 = 0x4e45_4652;
/// Begins a segment.
const SEGMENT_MAGIC: &[u8; 8] = b"NEAPJRN1";
/// Version of the payload's schema.
pub const VERSION: u16 = 1;

/// A chain value.
pub type Chain = [u8; 32];
/// Names a journal.
pub type JournalId = [u8; 16];

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A turn of the controller.
    Turn,
    /// Says only how far the syncs are.
    Mark,
}

/// A frame as read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub kind: Kind,
    /// Rises by one; the only order there is.
    pub seq: u64,
    /// Highest sequence number whose sync had returned when this was written.
    pub synced: u64,
    /// UTC microseconds, for people.
    pub at: i64,
    /// Chain value up to and with this frame.
    pub chain: Chain,
    /// What an auditor may read.
    pub public: &'a [u8],
    /// What is private: 16 random bytes, then the content; or nothing.
    pub private: &'a [u8],
    /// Its whole length with padding.
    pub length: usize,
}

/// Why bytes are not the frame expected there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// Not enough bytes, or no magic.
    NoFrame,
    /// A checksum, length or padding is wrong.
    Damaged,
    /// Intact, but not the frame that belongs there.
    Misplaced,
    /// Intact, of a version or kind this program does not know.
    Unknown(u16, u16),
}

fn padded(length: usize) -> usize {
    length.next_multiple_of(8)
}

fn chain_of(before: &Chain, head: &[u8], public: &[u8], private: &[u8]) -> Chain {
    let mut hash = Sha256::new();
    hash.update(before);
    hash.update(&head[8..48]);
    hash.update(public);
    hash.update(Sha256::digest(private));
    hash.finalize().into()
}

fn crc_of(id: &JournalId, bytes: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(id);
    crc.update(bytes);
    crc.finalize()
}

/// Appends a frame to `out` and gives the new chain value.
pub fn put(
    out: &mut Vec<u8>,
    id: &JournalId,
    before: &Chain,
    kind: Kind,
    numbers: (u64, u64, i64),
    public: &[u8],
    private: &[u8],
) -> Chain {
    let (seq, synced, at) = numbers;
    let start = out.len();
    let payload = public.len() + private.len();
    out.resize(start + HEAD, 0);
    {
        let head = &mut out[start..];
        head[0..4].copy_from_slice(&MAGIC.to_le_bytes());
        head[8..12].copy_from_slice(&(payload as u32).to_le_bytes());
        head[12..16].copy_from_slice(&(public.len() as u32).to_le_bytes());
        head[16..18].copy_from_slice(&VERSION.to_le_bytes());
        head[18..20].copy_from_slice(
            &(match kind {
                Kind::Turn => 1u16,
                Kind::Mark => 2,
            })
            .to_le_bytes(),
        );
        head[24..32].copy_from_slice(&seq.to_le_bytes());
        head[32..40].copy_from_slice(&synced.to_le_bytes());
        head[40..48].copy_from_slice(&at.to_le_bytes());
    }
    let chain = chain_of(before, &out[start..start + HEAD], public, private);
    out[start + 48..start + 80].copy_from_slice(&chain);
    out.extend_from_slice(public);
    out.extend_from_slice(private);
    out.resize(start + padded(HEAD + payload), 0);
    let crc = crc_of(id, &out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    chain
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// Reads the frame at the beginning of `bytes` as far as it can be known without its neighbours: magic, length, CRC.
///
/// # Errors
/// [`Bad`] if there is no intact frame.
pub fn intact<'a>(bytes: &'a [u8], id: &JournalId) -> Result<Frame<'a>, Bad> {
    if bytes.len() < HEAD || u32_at(bytes, 0) != MAGIC {
        return Err(Bad::NoFrame);
    }
    let (payload, public) = (u32_at(bytes, 8) as usize, u32_at(bytes, 12) as usize);
    let length = padded(HEAD + payload);
    if payload > PAYLOAD
        || public > payload
        || length > bytes.len()
        || crc_of(id, &bytes[8..length]) != u32_at(bytes, 4)
    {
        return Err(Bad::Damaged);
    }
    let (version, kind) = (u32_at(bytes, 16) as u16, (u32_at(bytes, 16) >> 16) as u16);
    let kind = match (version, kind, u32_at(bytes, 20)) {
        (VERSION, 1, 0) => Kind::Turn,
        (VERSION, 2, 0) => Kind::Mark,
        _ => return Err(Bad::Unknown(version, kind)),
    };
    Ok(Frame {
        kind,
        seq: u64_at(bytes, 24),
        synced: u64_at(bytes, 32),
        at: u64_at(bytes, 40) as i64,
        chain: bytes[48..80].try_into().expect("thirty-two bytes"),
        public: &bytes[HEAD..HEAD + public],
        private: &bytes[HEAD + public..HEAD + payload],
        length,
    })
}

/// Reads the frame that must be there: this sequence number, continuing this chain.
///
/// # Errors
/// [`Bad`] if it is not.
pub fn expected<'a>(bytes: &'a [u8], id: &JournalId, before: &Chain, seq: u64) -> Result<Frame<'a>, Bad> {
    let frame = intact(bytes, id)?;
    let chain = chain_of(before, bytes, frame.public, frame.private);
    if frame.seq == seq && frame.chain == chain { Ok(frame) } else { Err(Bad::Misplaced) }
}

/// What the first block of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Names the journal.
    pub id: JournalId,
    /// Sequence number of the first frame.
    pub first: u64,
    /// Chain value of the frame before.
    pub before: Chain,
}

impl Header {
    /// As a block.
    #[must_use]
    pub fn block(&self) -> Vec<u8> {
        let mut block = vec![0; BLOCK];
        block[0..8].copy_from_slice(SEGMENT_MAGIC);
        block[8..24].copy_from_slice(&self.id);
        block[24..32].copy_from_slice(&self.first.to_le_bytes());
        block[32..64].copy_from_slice(&self.before);
        let crc = crc32fast::hash(&block[..BLOCK - 4]);
        block[BLOCK - 4..].copy_from_slice(&crc.to_le_bytes());
        block
    }

    /// From a block.
    ///
    /// # Errors
    /// [`Bad::Unknown`] for another format, [`Bad::Damaged`] for a wrong checksum.
    pub fn read(block: &[u8]) -> Result<Self, Bad> {
        if block.len() < BLOCK {
            return Err(Bad::NoFrame);
        }
        let block = &block[..BLOCK];
        if crc32fast::hash(&block[..BLOCK - 4]) != u32_at(block, BLOCK - 4) {
            return Err(Bad::Damaged);
        }
        if &block[0..8] != SEGMENT_MAGIC {
            return Err(Bad::Unknown(0, 0));
        }
        Ok(Self {
            id: block[8..24].try_into().expect("sixteen bytes"),
            first: u64_at(block, 24),
            before: block[32..64].try_into().expect("thirty-two bytes"),
        })
    }
}
