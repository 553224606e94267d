//! What is read of a GPU beside its energy, in our words.

/// Why a reading failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The driver was loaded anew, or is away: the library must be opened again.
    Gone,
    /// The board has fallen off the bus.
    Lost,
    /// In the driver's words.
    Refused(String),
}

/// A process's or a MIG part's work on a GPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Process by the host's number.
    pub pid: u32,
    /// MIG instance it runs in.
    pub part: Option<u32>,
    /// Multiprocessor activity of the process, in ten thousandths of the board; 0 where the driver does not say.
    pub activity: u64,
}

/// A part of a board under MIG.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MigPart {
    /// Instance.
    pub id: u32,
    /// The driver's unique name.
    pub uuid: String,
    /// Multiprocessors.
    pub multiprocessors: u32,
    /// Its own activity in ten thousandths of the part; `None` without GPM.
    pub activity: Option<u64>,
}
