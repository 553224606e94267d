//! Looking for the helper: asked on a thread of its own, so that a helper that takes a connection and says nothing holds up nobody.

use super::RENEW;
use super::door::Socket;
use crate::clock::{Boot, Clock};
use crate::powerd::{Answer, Refusal};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Pauses between two questions: the first, and the longest that doubling comes to.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Whoever answered is asked again after so long: it may be started anew, with another file.
const AGAIN: Duration = RENEW;

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sought {
    /// It answered: the number of its start, and every GPU it knows.
    Found(Answer),
    /// Nobody answers there, or not to this user. It is asked again.
    Away,
}

/// Asks with growing pauses until there is an answer, and from then on every [`AGAIN`].
#[derive(Debug, Default)]
pub struct Seeker {
    asked: Option<Receiver<Result<Answer, Option<Refusal>>>>,
    next: Duration,
    pause: Duration,
}

impl Seeker {
    /// Asks if it is time to, waits at most so long for the answer, and says what came of it. `None`: nothing yet.
    pub fn seek(&mut self, socket: &Socket, at_most: Duration) -> Option<Sought> {
        let now = Boot.now();
        if self.asked.is_none() && now >= self.next {
            let (answer, asked) = channel();
            let socket = socket.clone();
            let thread = std::thread::Builder::new().name("neap-seeks".to_owned());
            // Who asked may be gone by then. Without a thread it is asked again later.
            drop(thread.spawn(move || drop(answer.send(socket.look()))));
            self.asked = Some(asked);
        }
        let answer = match self.asked.as_ref()?.recv_timeout(at_most) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => Err(None),
        };
        self.asked = None;
        self.pause = (self.pause * 2).clamp(PAUSES.0, PAUSES.1);
        self.next = now + self.pause;
        match answer {
            Ok(answer) => {
                (self.pause, self.next) = (Duration::ZERO, now + AGAIN);
                Some(Sought::Found(answer))
            }
            // It is there, and has much to do.
            Err(Some(Refusal::RateLimited)) => {
                self.pause = Duration::ZERO;
                self.next = now + PAUSES.0;
                None
            }
            Err(_) => Some(Sought::Away),
        }
    }
}
