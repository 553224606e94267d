//! Turns as bytes and back: the public part that an auditor may read, and the private part beside it.
//!
//! Private is what a job executes: command, script, environment, work directory. All else is public.

use neap_model::job::Task;
use neap_model::lifecycle::{Event, JobEvent};

/// A turn as the journal takes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes {
    /// JSON list of events with empty tasks.
    pub public: Vec<u8>,
    /// JSON list of the tasks taken out, in order; empty where there are none.
    pub private: Vec<u8>,
}

/// A turn that cannot be read: another version's, or damaged before it was written.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Not the JSON of a list of events.
    #[error("cannot read the events of turn {seq}")]
    Events {
        /// The turn.
        seq: u64,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The private part does not belong to the public one.
    #[error("turn {seq} has {found} private parts where {expected} belong")]
    Private {
        /// The turn.
        seq: u64,
        /// Tasks found.
        found: usize,
        /// Tasks that belong there.
        expected: usize,
    },
}

fn task_of(event: &mut Event) -> Option<&mut Task> {
    match event {
        Event::Job { happened: JobEvent::Submitted { spec, .. } | JobEvent::Edited { spec, .. }, .. } => {
            Some(&mut spec.task)
        }
        _ => None,
    }
}

/// Encodes a turn.
#[must_use]
pub fn encode(mut events: Vec<Event>) -> Bytes {
    let tasks: Vec<Task> = events.iter_mut().filter_map(task_of).map(std::mem::take).collect();
    let public = serde_json::to_vec(&events).expect("events are plain data");
    let private = if tasks.is_empty() { Vec::new() } else { serde_json::to_vec(&tasks).expect("tasks are plain data") };
    Bytes { public, private }
}

/// Decodes a turn.
///
/// # Errors
/// [`RecordError`] if the bytes are not what [`encode`] makes.
pub fn decode(seq: u64, public: &[u8], private: &[u8]) -> Result<Vec<Event>, RecordError> {
    let mut events: Vec<Event> =
        serde_json::from_slice(public).map_err(|source| RecordError::Events { seq, source })?;
    let tasks: Vec<Task> = if private.is_empty() {
        Vec::new()
    } else {
        serde_json::from_slice(private).map_err(|source| RecordError::Events { seq, source })?
    };
    let found = tasks.len();
    let places: Vec<&mut Task> = events.iter_mut().filter_map(task_of).collect();
    if places.len() != found {
        return Err(RecordError::Private { seq, found, expected: places.len() });
    }
    for (place, task) in places.into_iter().zip(tasks) {
        *place = task;
    }
    Ok(events)
}

#[cfg(test)]
mod tests;
