//! What the grid and the operators announce: taken once, written down before it is answered, in force until its own end.

use super::{Answer, Controller, Turn};
use chrono::{DateTime, Utc};
use neap_model::job::{JobSpec, Person};
use neap_model::lifecycle::Event;
use neap_model::notice::{Announcement, Heard, Source};
use neap_model::refusal::{Code, Refusal};

impl Controller {
    /// Takes an announcement. The same id and revision again change nothing; an older revision is refused.
    pub(super) fn announce(
        &mut self,
        now: DateTime<Utc>,
        by: &Person,
        announcement: Announcement,
        source: &Source,
        turn: &mut Turn,
    ) -> Result<Answer, Vec<Refusal>> {
        if matches!(source, Source::Operator { .. }) && by.uid != 0 && by.uid != self.uid {
            let message = format!("events are announced by operators, and {} is none", by.name);
            return Err(vec![Refusal::new(Code::NotAllowed, message)]);
        }
        if announcement.kind == "gpu_cap" {
            self.known_node(announcement.site.as_deref())?;
        } else if announcement.kind == "hold_again" {
            self.known_queue(announcement.site.as_deref())?;
        } else if announcement.kind != "cancel" {
            self.known_place(announcement.site.as_deref())?;
        }
        // An announcement that is sent again is recognised by id and revision alone: it may be past by now.
        let known = self.state.notices.get(&announcement.id).cloned();
        if let Some(known) = &known
            && announcement.kind != "cancel"
            && known.revision >= announcement.revision
        {
            return if known.revision == announcement.revision {
                Ok(Answer::Announced(Heard::Known, Box::new(known.clone())))
            } else {
                let message = format!(
                    "event `{}` is known in revision {}, this is {}",
                    known.id, known.revision, announcement.revision
                );
                Err(vec![Refusal::new(Code::KeyReused, message)])
            };
        }
        let notice = announcement.read(known.as_ref(), source, now).map_err(|refusal| vec![refusal])?;
        if self.read_only {
            return Err(vec![Refusal::new(Code::ReadOnly, "the disk is full: events cannot be written down")]);
        }
        let heard = self.state.notices.heard(&notice);
        match heard {
            Heard::Older => {
                let message = format!("a later revision of event `{}` is known than {}", notice.id, notice.revision);
                return Err(vec![Refusal::new(Code::KeyReused, message)]);
            }
            Heard::New => {
                self.record(now, Event::Noticed { notice: Box::new(notice.clone()) }, turn);
                self.heed_holding(&notice);
                self.planning.stale_site();
                // Running work may be told of it with the next beat: what it is told is in its history, however soon it is taken back.
                self.planning.site.now = now;
                self.tend_caps(now, turn);
            }
            Heard::Known => {}
        }
        Ok(Answer::Announced(heard, Box::new(notice)))
    }

    /// Whether electricity is announced to be plentiful where the job may run: then it does not wait for cleaner hours.
    pub(super) fn plenty(&self, spec: &JobSpec) -> bool {
        let home = [self.config.home().name.clone()];
        let zones = if spec.flex.zones.is_empty() { &home[..] } else { &spec.flex.zones };
        let places: Vec<&str> = zones.iter().map(String::as_str).collect();
        self.state.notices.plenty(self.planning.site.now, &places).is_some()
    }

    fn known_node(&self, place: Option<&str>) -> Result<(), Vec<Refusal>> {
        let Some(node) = place.filter(|node| !self.state.nodes.contains_key(*node)) else { return Ok(()) };
        let refusal = Refusal::new(Code::NoSuchPlace, format!("no node called `{node}` was ever heard of"));
        let known = self.state.nodes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        Err(vec![refusal.about("site", node).note(format!("known here: {known}"))])
    }

    fn known_queue(&self, queue: Option<&str>) -> Result<(), Vec<Refusal>> {
        let Some(queue) = queue.filter(|queue| !self.config.queues.contains_key(*queue)) else { return Ok(()) };
        let refusal = Refusal::new(Code::NoSuchPlace, format!("no queue is called `{queue}`"));
        let known = self.config.queues.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        Err(vec![refusal.about("site", queue).note(format!("known here: {known}"))])
    }

    fn known_place(&self, place: Option<&str>) -> Result<(), Vec<Refusal>> {
        let Some(place) = place else { return Ok(()) };
        let domains = self.config.power_domains.iter().map(|domain| domain.name.as_str());
        let names: Vec<&str> = domains.chain(self.config.zones.iter().map(|zone| zone.name.as_str())).collect();
        if names.contains(&place) {
            return Ok(());
        }
        let refusal = Refusal::new(Code::NoSuchPlace, format!("no power domain and no zone is called `{place}`"));
        Err(vec![refusal.about("site", place).note(format!("known here: {}", names.join(", ")))])
    }
}
