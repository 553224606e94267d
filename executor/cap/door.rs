//! One thread that talks to the helper, so that nobody else ever waits for it unless they say how long.

use super::{Helper, Holder, Token, Wanted};
use crate::clock::{Boot, Clock};
use crate::domains::Cap;
use crate::powerd::{Answer, Held, LONGEST, Refusal, Request, TERM};
use neap_model::cap::{CapHeld, Settable};
use neap_model::units::Watts;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The helper waits up to 5 s for a driver that hangs.
const PATIENCE: Duration = Duration::from_secs(6);
/// How often the thread looks up at the latest.
const LOOK: Duration = Duration::from_secs(1);

/// The helper behind its socket: a connection a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket(pub PathBuf);

impl Socket {
    fn exchange(&self, request: &Request) -> std::io::Result<Answer> {
        let mut stream = UnixStream::connect(&self.0)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut text = serde_json::to_vec(request)?;
        text.push(b'\n');
        stream.write_all(&text)?;
        let mut line = Vec::new();
        // A node's list of GPUs is longer than one answer about one of them.
        BufReader::new(stream.take(16 * LONGEST as u64)).read_until(b'\n', &mut line)?;
        Ok(serde_json::from_slice(&line)?)
    }

    /// What the helper says about every GPU.
    ///
    /// # Errors
    /// Its refusal; `None`: nobody answers.
    pub fn status(&self) -> Result<Vec<Held>, Option<Refusal>> {
        self.look().map(|answer| answer.gpus)
    }

    /// The same, with the number of its start.
    ///
    /// # Errors
    /// As [`Socket::status`].
    pub fn look(&self) -> Result<Answer, Option<Refusal>> {
        let answer = self.exchange(&Request::Status).map_err(|_| None)?;
        if answer.ok { Ok(answer) } else { Err(answer.error) }
    }
}

impl Helper for Socket {
    fn ask(&mut self, request: &Request) -> Option<Answer> {
        self.exchange(request).ok()
    }
}

impl Held {
    /// Limits that may be asked for.
    #[must_use]
    pub fn settable(&self) -> Option<Settable> {
        let clocks = self.settable_megahertz;
        // A limit that somebody else set, or a board that could not be brought down, stays where it is.
        let brought = matches!(self.state.as_str(), "leased" | "safe_cap");
        let stands =
            brought || self.requested_milliwatts.is_some_and(|at| self.safe_milliwatts.is_some_and(|to| at <= to));
        let safe = self.safe_milliwatts.filter(|_| stands).map(Watts);
        let found = self.found_milliwatts.map(Watts).filter(|found| safe.is_some_and(|safe| *found > safe));
        let range = |(least, most)| Settable { least: Watts(least), most: Watts(most), clocks, safe, found };
        self.settable_milliwatts.map(range)
    }
}

/// What the thread is told.
#[derive(Debug)]
enum Word {
    /// From now on this is wanted of that GPU.
    Want(String, Option<Wanted>),
    /// The scheduler answered at that time.
    Heard(Duration),
}

impl Word {
    /// Takes it in. Says whether there may be something to do at once.
    fn take(self, holder: &mut Holder<Socket>, now: Duration) -> bool {
        match self {
            Self::Want(uuid, wanted) => holder.want(&uuid, wanted),
            Self::Heard(at) => {
                let before = holder.hears(now);
                holder.hear(at);
                return holder.hears(now) && !before;
            }
        }
        true
    }
}

#[derive(Debug, Default)]
struct Shared {
    held: Mutex<BTreeMap<String, CapHeld>>,
    news: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, CapHeld>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The limits of this node's GPUs, and the ceilings of their clocks.
#[derive(Debug)]
pub struct Caps {
    words: Sender<Word>,
    told: BTreeMap<String, Option<Wanted>>,
    shared: Arc<Shared>,
}

impl Caps {
    /// Starts the thread. `file` keeps the tokens of leases; what the helper holds for one of `attempts` without a token there
    /// is taken over.
    ///
    /// # Errors
    /// If no thread can be started.
    pub fn start(socket: Socket, file: PathBuf, attempts: Vec<String>) -> std::io::Result<Self> {
        let tokens: BTreeMap<String, Token> =
            std::fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        let told = tokens.keys().map(|uuid| (uuid.clone(), Some(Wanted::default()))).collect();
        let shared = Arc::new(Shared::default());
        let (words, inbox) = channel::<Word>();
        let lost = socket.clone();
        let mut holder = Holder::new(socket, tokens);
        *shared.lock() = holder.held();
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new().name("neap-caps".to_owned()).spawn(move || {
            // Later than that every lease of an earlier life has ended.
            let (mut orphans, last) = (!attempts.is_empty(), Boot.now() + TERM);
            // What an earlier life held and this one wants is asked for before anything is given back.
            let mut next = Boot.now() + LOOK;
            loop {
                if orphans {
                    let status = lost.status();
                    orphans = status.is_err() && Boot.now() < last;
                    take_over(&mut holder, &status.unwrap_or_default(), &attempts);
                    next = next.min(Boot.now() + LOOK);
                }
                let wait = next.saturating_sub(Boot.now()).min(LOOK);
                match inbox.recv_timeout(wait) {
                    Ok(word) => {
                        let now = Boot.now();
                        let first = word.take(&mut holder, now);
                        if inbox.try_iter().fold(first, |due, word| word.take(&mut holder, now) || due) {
                            next = Duration::ZERO;
                        }
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    // The executor is gone: its leases run out, or its next life takes them over.
                    Err(RecvTimeoutError::Disconnected) => return,
                }
                if Boot.now() >= next {
                    next = holder.tend(Boot.now());
                    if let Some(tokens) = holder.changed_tokens() {
                        // Without the file a later life waits a minute for the leases to run out.
                        drop(keep(&file, &tokens));
                    }
                    *theirs.lock() = holder.held();
                    theirs.news.notify_all();
                }
            }
        })?;
        Ok(Self { words, told, shared })
    }

    /// From now on these are wanted, and nothing else. Says nothing to the helper that was said before.
    pub fn want(&mut self, wanted: &BTreeMap<String, Wanted>) {
        let gone: Vec<String> = self
            .told
            .iter()
            .filter(|(uuid, told)| told.is_some() && !wanted.contains_key(*uuid))
            .map(|(uuid, _)| uuid.clone())
            .collect();
        for uuid in gone {
            self.tell(uuid, None);
        }
        for (uuid, one) in wanted {
            if self.told.get(uuid) != Some(&Some(one.clone())) {
                self.tell(uuid.clone(), Some(one.clone()));
            }
        }
    }

    fn tell(&mut self, uuid: String, wanted: Option<Wanted>) {
        self.told.insert(uuid.clone(), wanted.clone());
        // The thread lives as long as this does.
        drop(self.words.send(Word::Want(uuid, wanted)));
    }

    /// The scheduler answered at that time. While it is not heard for [`super::UNHEARD`] nothing is taken or
    /// renewed.
    pub fn hear(&self, at: Duration) {
        drop(self.words.send(Word::Heard(at)));
    }

    /// How every GPU stands for which anything was ever wanted.
    #[must_use]
    pub fn held(&self) -> BTreeMap<String, CapHeld> {
        self.shared.lock().clone()
    }

    /// Waits until what is wanted of these GPUs is held, or refused; at most so long.
    pub fn settle(&self, gpus: &[String], at_most: Duration) {
        let done = |held: &BTreeMap<String, CapHeld>| {
            gpus.iter().all(|uuid| match (self.told.get(uuid), held.get(uuid)) {
                (Some(Some(Wanted { cap, .. })), Some(held)) => {
                    (held.wanted, held.clock_ceiling_wanted) == (cap.limit, cap.clock_ceiling) && held.is_answered()
                }
                (Some(Some(_)), None) => false,
                _ => true,
            })
        };
        drop(self.shared.news.wait_timeout_while(self.shared.lock(), at_most, |held| !done(held)));
    }
}

/// What is held for one of these attempts without a token is gone on with or given back.
fn take_over(holder: &mut Holder<Socket>, status: &[Held], attempts: &[String]) {
    for held in status.iter().filter(|held| held.state == "leased") {
        let ours = held.attempt.as_ref().filter(|attempt| attempts.contains(attempt));
        if let Some((attempt, limit)) = ours.zip(held.requested_milliwatts) {
            let clock_ceiling = held.clock_ceiling_megahertz;
            // A ceiling alone left the limit as it was found.
            let alone = clock_ceiling.is_some() && held.found_milliwatts == Some(limit);
            let cap = Cap { limit: (!alone).then_some(Watts(limit)), clock_ceiling };
            holder.orphaned(&held.gpu, Wanted { cap, attempt: attempt.clone() });
        }
    }
}

fn keep(file: &Path, tokens: &BTreeMap<String, Token>) -> std::io::Result<()> {
    let temporary = file.with_extension("new");
    std::fs::write(&temporary, serde_json::to_vec(tokens)?)?;
    std::fs::File::open(&temporary)?.sync_data()?;
    std::fs::rename(temporary, file)
}
