//! How long a job will run, on which GPUs: as given, as earlier runs of its kind took, or its limit.

use super::{ENOUGH, LIKELY, Planning, REMEMBERED};
use crate::controller::Controller;
use crate::controller::capping::rungs::Boards;
use crate::controller::state::Job;
use chrono::{DateTime, Utc};
use neap_model::fleet::Component;
use neap_model::job::{JobId, JobSpec, Objective};
use neap_model::lifecycle::{Outcome, Phase};
use neap_model::seconds::Seconds;
use neap_model::units::{Percent, Watts};
use neap_policies::hardware::{Asked, Ran, ways};
use neap_policies::power::Rung;
use neap_policies::problem::{Way, slowest};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// GPU models by zone.
pub(super) type Offered = BTreeMap<String, BTreeMap<String, Boards>>;

/// What earlier runs of a project's job showed.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Run times in seconds.
    lengths: VecDeque<u64>,
    /// Runs in one piece on GPUs.
    runs: VecDeque<Ran>,
}

/// By what runs are told apart: project and name.
fn kind_of(spec: &JobSpec) -> (String, String) {
    (spec.project.clone(), spec.name.clone())
}

/// Whether two jobs have the same ways to run.
fn runs_alike(one: &JobSpec, other: &JobSpec) -> bool {
    kind_of(one) == kind_of(other)
        && (&one.resources, &one.time, &one.flex) == (&other.resources, &other.time, &other.flex)
}

fn keep<T>(all: &mut VecDeque<T>, one: T) {
    all.push_back(one);
    if all.len() > REMEMBERED {
        all.pop_front();
    }
}

impl Planning {
    /// The boards of a model in a zone.
    pub(in crate::controller) fn boards(&self, zone: &str, model: &str) -> Option<&Boards> {
        self.offered.get(zone)?.get(model)
    }
}

impl Controller {
    /// Remembers how long a job that succeeded ran.
    pub(in crate::controller) fn learn(&mut self, id: JobId) {
        let Some(job) = self.state.jobs.get(&id) else { return };
        if !matches!(&job.phase, Phase::Ended { outcome: Outcome::Succeeded, .. }) {
            return;
        }
        let (Some(started), Some(ended)) = (job.started, job.ended) else { return };
        let took = job.ran + Seconds::between(started, ended).max(Seconds(1));
        let ran = self.ran_on(job, took);
        let known = self.planning.known.entry(kind_of(&job.spec)).or_default();
        keep(&mut known.lengths, took.0);
        if let Some(ran) = ran {
            keep(&mut known.runs, ran);
        }
        self.planning.lessons.insert(kind_of(&job.spec));
    }

    /// Something was learned of how hard jobs of its kind may run.
    pub(in crate::controller) fn learned_more(&mut self, id: JobId) {
        if let Some(job) = self.state.jobs.get(&id) {
            self.planning.lessons.insert(kind_of(&job.spec));
        }
    }

    /// The site was looked at again: those of whose kind something was learned are asked anew, and where there are other GPUs
    /// those who wait for some.
    pub(super) fn ask_again(&mut self) {
        let mut offered = Offered::new();
        for node in &self.planning.site.nodes {
            let mut here: BTreeMap<&String, u32> = BTreeMap::new();
            let there = offered.entry(node.zone.clone()).or_default();
            let of = (node.cpus, u32::try_from(node.gpus.len()).unwrap_or(u32::MAX), node.watts_per_cpu);
            for gpu in &node.gpus {
                *here.entry(&gpu.model).or_default() += 1;
                there.entry(gpu.model.clone()).or_insert_with(|| Boards::of(gpu, of)).and(gpu);
            }
            for (model, count) in here {
                if let Some(boards) = there.get_mut(model) {
                    boards.most = count.max(boards.most);
                }
            }
        }
        let others = offered != self.planning.offered;
        self.planning.offered = offered;
        let lessons = std::mem::take(&mut self.planning.lessons);
        if !others && lessons.is_empty() {
            return;
        }
        // Thousands may wait that are alike, one behind the other: what they can run on is worked out once.
        let mut last: Option<(&JobSpec, Vec<Way>)> = None;
        let mut anew = Vec::new();
        for id in self.planning.asks.keys() {
            let Some(spec) = self.state.jobs.get(id).map(|job| &job.spec) else { continue };
            if !(others && spec.resources.gpus > 0 || lessons.contains(&kind_of(spec))) {
                continue;
            }
            let known = last.take().filter(|(other, _)| runs_alike(other, spec)).map(|(_, ways)| ways);
            let ways = known.unwrap_or_else(|| self.ways_to_run(spec));
            anew.push((*id, Arc::new(self.ask_by(*id, spec, ways.clone()))));
            last = Some((spec, ways));
        }
        self.planning.asks.extend(anew);
    }

    /// A run that tells what its GPUs are good for: in one piece, on one model.
    fn ran_on(&self, job: &Job, took: Seconds) -> Option<Ran> {
        if job.pauses > 0 || job.losses > 0 || job.gpus.is_empty() {
            return None;
        }
        let boards = self.gpus_of(job)?;
        let model = &boards.first()?.model;
        let gpus = u32::try_from(boards.len()).ok()?;
        let held = job.account.gpu_seconds.0;
        let energy = job.account.component(Component::Gpu).0;
        // Millijoules a second are milliwatts.
        let watts = energy.checked_div(held).filter(|watts| *watts > 0).map(Watts);
        let expect = job.spec.time.expect;
        let (longer, drew) = held_at(job, took);
        let took = Seconds(((took.0 as f64 / longer).round() as u64).max(1));
        let watts = watts.map(|watts| Watts((watts.0 as f64 / drew).round() as u64));
        boards.iter().all(|board| board.model == *model).then(|| Ran {
            model: model.clone(),
            gpus,
            took,
            expect,
            watts,
        })
    }

    /// The GPU models at whose limits there is a choice, with the limits.
    fn rungs_offered(&self, spec: &JobSpec, offered: &[(String, u32)]) -> BTreeMap<String, Vec<Rung>> {
        if spec.flex.slowdown == Percent(0) {
            return BTreeMap::new();
        }
        // Boards of unlike limits in its zones are left to the search while it runs.
        let of = |(model, _): &(String, u32)| {
            let mut all = self.zones_for(spec).iter().filter(|zone| self.planning.boards(zone, model).is_some());
            let mut rungs = self.rungs_of(spec, all.next()?, model)?;
            let limits = |rungs: &[Rung]| rungs.first().map(|rung| rung.limit);
            for zone in all {
                let there = self.rungs_of(spec, zone, model).filter(|there| limits(there) == limits(&rungs))?;
                // Those for where watts are short are taken there alone.
                if !rungs.iter().any(|rung| rung.short) {
                    rungs.extend(there.into_iter().filter(|rung| rung.short));
                }
            }
            Some((model.clone(), rungs))
        };
        offered.iter().filter_map(of).collect()
    }

    /// The zones that a job may use.
    pub(in crate::controller) fn zones_for<'a>(&'a self, spec: &'a JobSpec) -> &'a [String] {
        if spec.flex.zones.is_empty() { std::slice::from_ref(&self.config.home().name) } else { &spec.flex.zones }
    }

    /// Planning time: as given; else the 90th percentile of at least three earlier runs; else the limit. Of a job with a
    /// choice of GPUs that of the slowest way.
    pub(in crate::controller) fn length_of(&self, spec: &JobSpec) -> Seconds {
        self.length_by(spec, &self.ways_to_run(spec))
    }

    /// The same, where its ways are known.
    pub(super) fn length_by(&self, spec: &JobSpec, ways: &[Way]) -> Seconds {
        if let Some(longest) = slowest(ways) {
            return longest;
        }
        let limit = spec.time.limit.unwrap_or(Seconds::hours(24));
        let learned = || self.ninetieth(spec, Seconds::ZERO);
        spec.time.expect.or_else(learned).unwrap_or(limit).min(limit).max(Seconds(1))
    }

    /// What nine of ten earlier runs were over by that took longer than `ran`; `None`: fewer than three are known, or none of
    /// them did.
    fn ninetieth(&self, spec: &JobSpec, ran: Seconds) -> Option<Seconds> {
        let known = &self.planning.known.get(&kind_of(spec))?.lengths;
        let mut longer: Vec<u64> = known.iter().copied().filter(|took| *took > ran.0).collect();
        longer.sort_unstable();
        let at = (longer.len() * 9).div_ceil(10).checked_sub(1)?;
        (known.len() >= ENOUGH).then(|| Seconds(longer[at]))
    }

    /// The equally likely lengths of what is left of a job that waits, in thousandths of `left`, its planning length: of earlier
    /// runs as long as they would have been on the slowest of `ways`, and longer than what it has done already. Empty where
    /// its length was given, is not known, or hardly ever differs.
    pub(super) fn likely_of(&self, spec: &JobSpec, job: Option<&Job>, ways: &[Way], left: Seconds) -> Arc<[u32]> {
        let known = self.planning.known.get(&kind_of(spec));
        let Some(known) = known.filter(|_| spec.time.expect.is_none()) else { return Arc::default() };
        let whole: Vec<u64> = match slowest(ways).map(|slowest| slowest.0) {
            None => known.lengths.iter().copied().collect(),
            Some(slowest) => {
                let there = |ran: &Ran| {
                    let way = ways.iter().find(|way| (&way.model, way.gpus) == (&ran.model, ran.gpus))?;
                    Some(ran.took.0.saturating_mul(slowest) / way.length.0.max(1))
                };
                known.runs.iter().filter_map(there).collect()
            }
        };
        if whole.len() < ENOUGH {
            return Arc::default();
        }
        let limit = spec.time.limit.unwrap_or(Seconds::hours(24));
        let rest = whole.into_iter().map(|took| self.rest_of(Seconds(took).min(limit), spec, job).0);
        shares(rest.filter(|rest| *rest > 0).collect(), left.0.max(1))
    }

    /// How much longer a job is expected to run whose present attempt began at `since`: what is left of its planning length;
    /// once it has outlived that, by those of earlier runs that did so too. `None`: nobody can say.
    pub(in crate::controller) fn still_runs(&self, job: &Job, since: DateTime<Utc>) -> Option<Seconds> {
        let ran = Seconds::between(since, self.planning.site.now);
        // What is left is told in time of the slowest way.
        let width = job.width();
        let left = self.run_left(&job.spec, Some(job));
        let left = width.map_or(left, |width| width.time_of(left));
        if left > ran {
            return Some(left - ran);
        }
        let outlives = job.spec.time.expect.is_none() && width.is_none();
        let all = job.ran + ran;
        outlives.then(|| self.ninetieth(&job.spec, all)).flatten().map(|took| took - all)
    }

    /// The numbers of GPUs and the models that a job can be given, and how long all of it takes on each; empty where it
    /// has no choice that matters.
    pub(super) fn ways_to_run(&self, spec: &JobSpec) -> Vec<Way> {
        let asked = &spec.resources;
        if asked.gpus == 0 {
            return Vec::new();
        }
        let runs = self.planning.known.get(&kind_of(spec)).map(|known| &known.runs);
        if asked.gpus_up_to.is_none() && runs.is_none_or(VecDeque::is_empty) {
            return Vec::new();
        }
        let offered = self.offered_to(spec);
        let asked = Asked {
            widths: &asked.widths(),
            models: &asked.gpu_model,
            offered: &offered,
            rungs: &self.rungs_offered(spec, &offered),
            expect: spec.time.expect,
            limit: spec.time.limit.unwrap_or(Seconds::hours(24)),
            objective: spec.flex.delay.unwrap_or(Objective::None),
        };
        ways(&asked, runs.into_iter().flatten())
    }

    /// The GPU models in the zones that the job may use.
    fn offered_to(&self, spec: &JobSpec) -> Vec<(String, u32)> {
        let zones = self.zones_for(spec);
        let mut models: BTreeMap<&String, u32> = BTreeMap::new();
        for (model, boards) in zones.iter().filter_map(|zone| self.planning.offered.get(zone)).flatten() {
            let most = models.entry(model).or_default();
            *most = boards.most.max(*most);
        }
        models.into_iter().map(|(model, most)| (model.clone(), most)).collect()
    }
}

/// How much longer a run took than at the highest limit, and how much power it drew against that, by what was measured at the
/// limit it was held at for its own good. Both 1 where it was not.
fn held_at(job: &Job, took: Seconds) -> (f64, f64) {
    let Some((Some(_), because)) = &job.capped else { return (1.0, 1.0) };
    let Some((time, energy)) = because.own().map(|(time, energy)| (time.ratio(), energy.ratio())) else {
        return (1.0, 1.0);
    };
    let held = (job.account.cap.capped_ms as f64 / (took.0.max(1) as f64 * 1e3)).min(1.0);
    if time <= 0.0 || energy <= 0.0 {
        return (1.0, 1.0);
    }
    (1.0 / (1.0 - held + held / time), 1.0 - held + held * energy / time)
}

/// The means of equal parts of all lengths in rising order, in thousandths of `whole`: together they have the mean of all. Empty
/// where each is the whole.
fn shares(mut lengths: Vec<u64>, whole: u64) -> Arc<[u32]> {
    lengths.sort_unstable();
    let runs = lengths.len();
    // With each of them taken so often they can be parted, however few they are.
    let often = lengths.into_iter().flat_map(|length| std::iter::repeat_n(u128::from(length), LIKELY));
    let often: Vec<u128> = often.collect();
    let unit = runs as u128 * u128::from(whole);
    let share = |part: &[u128]| (part.iter().sum::<u128>() * 1_000 + unit / 2).checked_div(unit).unwrap_or(1_000);
    let all: Vec<u32> = often.chunks(runs.max(1)).map(|part| u32::try_from(share(part)).unwrap_or(u32::MAX)).collect();
    if all.iter().all(|share| *share == 1_000) { Arc::default() } else { all.into() }
}

/// The likely lengths of what is left of a job that had run for so long, of those of `whole`: who would have been over by then is
/// not among them.
pub(in crate::controller) fn still_likely(
    likely: &[u32],
    whole: Seconds,
    (ran, left): (Seconds, Seconds),
) -> Arc<[u32]> {
    let length = |share: &u32| whole.0.saturating_mul(u64::from(*share)) / 1_000;
    let rest: Vec<u64> =
        likely.iter().map(length).filter(|length| *length > ran.0).map(|length| length - ran.0).collect();
    if rest.is_empty() { Arc::default() } else { shares(rest, left.0.max(1)) }
}

/// The same ways for what is left of a job.
pub(super) fn ways_left(ways: Vec<Way>, left: Seconds) -> Vec<Way> {
    let whole = slowest(&ways).map_or(1, |slowest| slowest.0.max(1));
    let part = |way: Way| Way { length: Seconds((way.length.0 * left.0).div_ceil(whole).max(1)), ..way };
    ways.into_iter().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_still_runs_is_one_of_the_longer_ones() {
        let likely = [200, 400, 600, 800, 1_000].as_slice();
        // Of an hour 35 minutes are gone: 36, 48 and 60 minutes are left of, of which 25 were planned.
        let left = still_likely(likely, Seconds::minutes(60), (Seconds::minutes(35), Seconds::minutes(25)));
        assert_eq!((left[0], left[9], left.len()), (40, 1_000, 10));
        assert!(left.is_sorted());
        assert!(still_likely(likely, Seconds::minutes(60), (Seconds::minutes(60), Seconds(1))).is_empty());
        assert!(still_likely(&[], Seconds::minutes(60), (Seconds(0), Seconds(1))).is_empty());
    }

    #[test]
    fn a_few_lengths_stand_for_all_and_have_their_mean() {
        assert_eq!(*shares(vec![], 100), [0u32; 0]);
        assert_eq!(*shares(vec![100, 100, 100], 100), [0u32; 0]);
        assert_eq!(*shares(vec![100, 10, 40], 100), [100, 100, 100, 300, 400, 400, 600, 1_000, 1_000, 1_000]);
        // Some are longer than was promised.
        assert_eq!(
            *shares(vec![50, 100, 900, 50, 50], 100),
            [500, 500, 500, 500, 500, 500, 1_000, 1_000, 9_000, 9_000]
        );
        let twenty: Vec<u64> = (1..=20).map(|length| length * 50).collect();
        assert_eq!(*shares(twenty, 1_000), [75, 175, 275, 375, 475, 575, 675, 775, 875, 975]);
        assert_eq!(*shares(vec![1], u64::MAX), [0; LIKELY]);
    }
}
