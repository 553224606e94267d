//! The scheduler's clock: UTC that never runs backwards, and notices when somebody sets the host's.

use chrono::{DateTime, TimeDelta, Utc};
use rustix::time::{ClockId, clock_gettime};

/// The host's clock may differ from the time passed since by so much before it is followed.
const JUMP: TimeDelta = TimeDelta::seconds(2);

/// UTC carried forward by the boot clock, which counts suspends and cannot be set.
#[derive(Debug)]
pub struct Clock {
    base: DateTime<Utc>,
    since: TimeDelta,
    last: DateTime<Utc>,
    /// Jumps of the host's clock noticed so far, and the last of them in seconds.
    pub jumps: (u64, i64),
}

fn boot_time() -> TimeDelta {
    let now = clock_gettime(ClockId::Boottime);
    TimeDelta::seconds(now.tv_sec) + TimeDelta::nanoseconds(now.tv_nsec)
}

impl Default for Clock {
    fn default() -> Self {
        let base = Utc::now();
        Self { base, since: boot_time(), last: base, jumps: (0, 0) }
    }
}

impl Clock {
    /// The present time; never earlier than the time before.
    pub fn now(&mut self) -> DateTime<Utc> {
        let wall = Utc::now();
        self.told(wall, boot_time())
    }

    fn told(&mut self, wall: DateTime<Utc>, boot: TimeDelta) -> DateTime<Utc> {
        let carried = self.base + (boot - self.since);
        let ahead = wall - carried;
        if ahead.abs() > JUMP {
            self.jumps = (self.jumps.0 + 1, ahead.num_seconds());
            (self.base, self.since) = (wall, boot);
        }
        let now = self.base + (boot - self.since);
        // Whole microseconds: that is what the journal keeps.
        let now = DateTime::from_timestamp_micros(now.timestamp_micros()).unwrap_or(now);
        self.last = self.last.max(now);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_whatever_the_host_is_told() {
        let start = DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
        let mut clock = Clock { base: start, since: TimeDelta::zero(), last: start, jumps: (0, 0) };
        let s = TimeDelta::seconds;
        assert_eq!(clock.told(start + s(10), s(10)), start + s(10));
        // A small drift is not followed, a set clock is, and going back never shows.
        assert_eq!(clock.told(start + s(21), s(20)), start + s(20));
        assert_eq!(clock.told(start + s(3_600), s(21)), start + s(3_600));
        assert_eq!(clock.told(start + s(22), s(22)), start + s(3_600));
        assert_eq!(clock.jumps, (2, -3_579));
    }
}
