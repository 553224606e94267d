//! From a state directory to a running loop: take it, read it, know where the last life ended, go on.

use super::{Handle, Loop, LoopError, Message, Vitals, WAITING, changed, events, grid, replay};
use crate::clock::Clock;
use crate::config::Config;
use crate::controller::answers::Terms;
use crate::controller::state::State;
use crate::controller::{Controller, Footer, Input};
use crate::journal::disk::RealDisk;
use crate::journal::frame::Frame;
use crate::journal::place::{Place, PlaceError};
use crate::journal::{Journal, JournalError, Options, unsalted};
use crate::record;
use crate::store::Store;
use chrono::DateTime;
use neap_model::lifecycle::Event;
use rand::RngCore;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc;

/// How often time passes for the controller.
const TICK: Duration = Duration::from_millis(100);

/// Frames of a replay between two hand-overs to the store.
const HANDOVER: u64 = 1_024;

/// Why the scheduler does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state directory cannot be used.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The journal cannot be read or written.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A thread could not be started.
    #[error("cannot start a thread")]
    Thread(#[source] std::io::Error),
}

impl StartError {
    /// Exit code: 78 where a restart cannot help, 74 where storage failed.
    #[must_use]
    pub const fn exit(&self) -> u8 {
        match self {
            Self::Place(_) => 78,
            Self::Journal(error) if error.needs_a_person() => 78,
            Self::Journal(_) | Self::Thread(_) => 74,
        }
    }
}

/// A running scheduler.
#[derive(Debug)]
pub struct Scheduler {
    /// The way to speak to it.
    pub handle: Handle,
    /// What was noticed while reading: a torn tail, say. For the log.
    pub notices: Vec<String>,
    thread: JoinHandle<Result<(), LoopError>>,
    stop: Arc<AtomicBool>,
    _place: Place,
}

impl Scheduler {
    /// Ends it after what waits was done.
    ///
    /// # Errors
    /// [`LoopError`] if it had ended by itself.
    pub fn stop(self) -> Result<(), LoopError> {
        self.stop.store(true, Ordering::Relaxed);
        // A full channel means that it is busy or gone; the thread ends either way.
        drop(self.handle.sender.try_send(Message::Stop));
        self.join()
    }

    /// Whether it ended by itself: then only `stop` is left, which says why.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.thread.is_finished()
    }

    fn join(self) -> Result<(), LoopError> {
        match self.thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Starts a scheduler over its state directory.
///
/// # Errors
/// [`StartError`] if the directory or the journal cannot be used.
pub fn start(config: Config, footer: Footer, options: Options) -> Result<Scheduler, StartError> {
    let place = Place::take(&config.state_dir)?;
    let mut random = rand::rng();
    let seed = random.next_u64();
    let (mut journal, mut state, store) = read(&place, options, seed, &Terms::of(&config))?;
    let mut notices = Vec::new();
    if let Some((name, offset, length)) = &journal.torn {
        notices.push(format!(
            "{name}: the last {length} bytes from {offset} on were torn by a power cut, never acknowledged, and are cleared"
        ));
    }
    journal.keep_spares();
    let mut clock = Clock::default();
    let now = clock.now();
    let started = Event::Started {
        incarnation: state.incarnation + 1,
        nonce: random.next_u64() >> 1,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let bytes = record::encode(vec![started.clone()]);
    let first = crate::journal::Record { public: bytes.public, private: bytes.private };
    journal.append_batch(now.timestamp_micros(), &[first])?;
    replay(&mut state, now, &[started]).expect("a start is legal in every state");
    store.push(changed(&mut state), journal.head());

    let uid = rustix::process::geteuid().as_raw();
    let mut controller = Controller::new(config.clone(), uid, footer, state, now);
    // The first reading is done before anybody is answered: files and what services said before, of bounded size. No
    // service is asked before that, and nobody ever waits for one.
    let mut reader = grid::Reader::new(&config, now);
    let (input, feeds) = reader.read(now);
    controller.step(now, input);
    let (clients, unable) = events::clients(&config);
    let mut vitals = Vitals::default();
    vitals.heard(feeds);

    let (sender, receiver) = mpsc::channel(WAITING);
    for news in unable {
        notices.extend(news.shown.as_ref().err().map(|why| format!("{}: {why}", news.vtn)));
        // There is room: nobody else has a sender yet.
        drop(sender.try_send(news.into()));
    }
    let stop = Arc::new(AtomicBool::new(false));
    let all = Loop {
        controller,
        journal,
        store,
        clock,
        callers: HashMap::new(),
        next_caller: 0,
        vitals,
        unmarked: true,
        modes: (Vec::new(), false),
        back: sender.downgrade(),
    };
    let thread = named("neap-loop", move || all.run(receiver)).map_err(StartError::Thread)?;
    let (ticks, ticking) = (sender.clone(), Arc::clone(&stop));
    named("neap-clock", move || {
        while !ticking.load(Ordering::Relaxed) {
            std::thread::sleep(TICK);
            // A full channel has its own traffic to move time along.
            if let Err(mpsc::error::TrySendError::Closed(_)) = ticks.try_send(Message::Input(Input::Tick)) {
                return;
            }
        }
    })
    .map_err(StartError::Thread)?;
    let (sender_of_grid, reading) = (sender.clone(), Arc::clone(&stop));
    named("neap-grid", move || grid::keep_reading(reader, &sender_of_grid, &reading)).map_err(StartError::Thread)?;
    if !clients.is_empty() {
        let (sender_of_events, polling) = (sender.clone(), Arc::clone(&stop));
        named("neap-events", move || events::keep_asking(clients, &config, &sender_of_events, &polling))
            .map_err(StartError::Thread)?;
    }
    Ok(Scheduler { handle: Handle { sender, footer }, notices, thread, stop, _place: place })
}

fn named<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> std::io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work)
}

/// Reads the journal into a state, and brings the store to the same point; a store that belongs elsewhere is built anew.
fn read(place: &Place, options: Options, seed: u64, terms: &Terms) -> Result<(Journal, State, Store), StartError> {
    let store = Store::open(&place.path, true, terms.clone());
    let opened = store.opened;
    let (journal, state, belongs) = read_with(place, options, seed, &store)?;
    if opened.is_none() || belongs {
        return Ok((journal, state, store));
    }
    drop((journal, state, store));
    let store = Store::open(&place.path, false, terms.clone());
    let (journal, state, _) = read_with(place, options, seed, &store)?;
    Ok((journal, state, store))
}

fn read_with(place: &Place, options: Options, seed: u64, store: &Store) -> Result<(Journal, State, bool), StartError> {
    let mut state = State::default();
    let mut belongs = false;
    let mut last = (0, [0; 32]);
    let (known, chain) = store.opened.map_or((0, [0; 32]), |applied| applied);
    let take = |frame: &Frame<'_>| {
        let content = |why: String| JournalError::Content { seq: frame.seq, why };
        let events = record::decode(frame.seq, frame.public, unsalted(frame.private))
            .map_err(|error| content(crate::store::one_line(&error)))?;
        let at = DateTime::from_timestamp_micros(frame.at).ok_or_else(|| content("no such time".to_owned()))?;
        replay(&mut state, at, &events).map_err(|illegal| content(illegal.to_string()))?;
        last = (frame.seq, frame.chain);
        belongs |= last == (known, chain);
        if frame.seq <= known {
            if frame.seq.is_multiple_of(HANDOVER) || frame.seq == known {
                state.changed.clear();
                state.trim();
            }
        } else if frame.seq.is_multiple_of(HANDOVER) {
            store.push(changed(&mut state), last);
            store.keep_pace();
        }
        Ok(())
    };
    let journal = Journal::open(RealDisk(place.path.clone()), options, seed, take)?;
    store.push(changed(&mut state), last);
    Ok((journal, state, belongs))
}
