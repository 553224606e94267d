//! The closed loop of a power domain against a plant that does what real ones do, and worse: `NEAP_STEPS=10000000 cargo test
//! --release -p neap-policies --test regulate -- --nocapture` prints what was counted.
#![allow(clippy::disallowed_methods, clippy::print_stderr, reason = "figures are shown beside what they must reach")]

#[path = "regulate/dice.rs"]
mod dice;
#[path = "regulate/plant.rs"]
mod plant;
#[path = "regulate/watch.rs"]
mod watch;

use dice::Dice;
use neap_model::job::JobId;
use neap_model::units::Watts;
use neap_policies::regulate::{Because, Board, Config, Job, Readings, Regulator, Seen, Stand, Turn};
use plant::{Faults, Net, TICKS};
use std::collections::BTreeMap;
use std::time::Duration;
use watch::{Script, Tally, Watch};

const NET: Net = Net { loss: 0.03, slowest: 1.0 };

/// A number from the environment: `NEAP_STEPS` steps, the first domain drawn from `NEAP_SEED`.
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn limits_in_force_never_exceed_the_budget_but_for_what_others_do() {
    let script = Script { faults: Faults::ALL, net: NET, cuts: 600.0, restarts: 1_800.0, seconds: 3_600 };
    let mut tally = Tally::default();
    let (first, steps) = (number("NEAP_SEED", 1), number("NEAP_STEPS", 20_000));
    let mut seed = first;
    while tally.steps < steps {
        tally.add(&Watch::new(seed, script).run());
        seed += 1;
    }
    eprintln!("{} domains: {tally:#?}", seed - first);
}

/// How a cut was met: seconds until drawn power was under the new budget for good, and longest runs above it.
#[derive(Clone, Copy, Debug, Default)]
struct Met {
    under: f64,
    over_5: f64,
    over_15: f64,
}

#[test]
fn a_cut_of_thirty_percent_is_met_within_ten_seconds() {
    let script = Script { faults: Faults::NONE, net: NET, cuts: f64::INFINITY, restarts: f64::INFINITY, seconds: 0 };
    let (mut worst, mut sum, mut cuts, mut short, mut none) = (Met::default(), 0.0, 0u32, 0u32, 0u32);
    for seed in 1..=600 {
        let mut watch = Watch::new(seed, script);
        watch.give(0.75);
        let begin = 300 * TICKS;
        (1..begin).for_each(|tick| watch.pass(tick));
        watch.cut(begin, 0.7, 3_600);
        let mut met = Met::default();
        let (mut run_5, mut run_15) = (0u32, 0u32);
        let mut fits = true;
        for tick in begin..begin + 60 * TICKS {
            // The cut itself asks for a turn.
            if tick == begin {
                watch.step(tick);
            }
            watch.pass(tick + 1);
            let over = watch.plant.drawn() / watch.budget as f64;
            if over > 1.0 {
                met.under = (tick + 1 - begin) as f64 / 4.0;
            }
            run_5 = if over > 1.05 { run_5 + 1 } else { 0 };
            run_15 = if over > 1.15 { run_15 + 1 } else { 0 };
            met.over_5 = met.over_5.max(f64::from(run_5) / 4.0);
            met.over_15 = met.over_15.max(f64::from(run_15) / 4.0);
            fits &= watch.turn.short == Watts::ZERO;
        }
        if !fits {
            short += 1;
            continue;
        }
        if met.under == 0.0 {
            none += 1;
            continue;
        }
        cuts += 1;
        sum += met.under;
        worst.under = worst.under.max(met.under);
        worst.over_5 = worst.over_5.max(met.over_5);
        worst.over_15 = worst.over_15.max(met.over_15);
    }
    eprintln!(
        "{cuts} cuts of 30 % that bound ({none} did not, {short} are below the floors): under after {:.2} s on average, {:?} at worst",
        sum / f64::from(cuts),
        worst
    );
    assert!(cuts > 300 && worst.under <= 10.0 && worst.over_5 <= 10.0 && worst.over_15 <= 2.0, "{worst:?}");
}

#[test]
fn a_gpu_without_samples_is_at_its_safe_cap_within_five_seconds() {
    let faults = Faults { meter: 120.0, ..Faults::NONE };
    let net = Net { loss: 0.0, slowest: 1.0 };
    let script = Script { faults, net, cuts: f64::INFINITY, restarts: f64::INFINITY, seconds: 0 };
    let (mut checked, mut capped) = (0u32, 0u32);
    for seed in 1..=60 {
        let mut watch = Watch::new(seed, script);
        let mut began: BTreeMap<JobId, u64> = BTreeMap::new();
        for tick in 1..1_200 * TICKS {
            watch.pass(tick);
            for (job, _) in &watch.plant.jobs {
                began.entry(job.id).or_insert(tick);
            }
            for device in &watch.plant.devices {
                let mine = watch.plant.jobs.iter().find(|(job, _)| job.gpus.contains(&device.board.gpu));
                let mine = mine.filter(|(job, _)| tick > began[&job.id] + 5 * TICKS);
                if tick > device.sampled + 5 * TICKS && mine.is_some() {
                    // Beside a larger board the floor of its job may be higher.
                    let ranks = |gpu: &String| mine.is_some_and(|(job, _)| job.gpus.contains(gpu));
                    let boards = watch.plant.devices.iter().filter(|other| ranks(&other.board.gpu));
                    let floor = boards.map(|other| other.board.floor.0).max().unwrap_or(0);
                    let safe = device.board.left().0.max(floor);
                    assert!(device.limit <= safe, "seed {seed} tick {tick}: {device:?}");
                    checked += 1;
                    capped += u32::from(device.limit == safe);
                }
            }
        }
    }
    eprintln!(
        "{checked} quarters of a second beyond five without a sample, {capped} of them at the safe cap, none above"
    );
    assert!(checked > 1_000 && capped > 100);
}

fn board(n: usize) -> Board {
    Board {
        gpu: format!("GPU-{n}"),
        node: "n".into(),
        floor: Watts::whole(200),
        highest: Watts::whole(700),
        vouched: None,
        safe: Some(Watts::whole(300)),
        unheard: None,
    }
}

fn job(n: usize, least_speed: f64) -> Job {
    let points = [(200, 0.5), (300, 0.72), (400, 0.86), (500, 0.94), (700, 1.0)];
    Job {
        id: JobId(n as u64 + 1),
        gpus: vec![format!("GPU-{n}")],
        weight: 1.0,
        least_speed,
        most: None,
        may_pause: false,
        pausing: false,
        points: points.map(|(watts, speed)| (Watts::whole(watts), speed)).to_vec(),
    }
}

/// A domain where every order is carried out at once and every job draws `share` of the highest limit if it may.
struct Bench {
    regulator: Regulator,
    jobs: Vec<Job>,
    limits: Vec<(u64, Watts)>,
    now: u64,
    /// The domain has a reading.
    sighted: bool,
}

impl Bench {
    fn new(jobs: Vec<Job>) -> Self {
        let config = Config { seed: 7, ..Config::default() };
        let boards = (0..jobs.len()).map(board).collect();
        let limits = vec![(0, Watts::whole(300)); jobs.len()];
        Self { regulator: Regulator::new(config, boards, 1, Duration::ZERO), jobs, limits, now: 0, sighted: true }
    }

    fn turn(&mut self, budget: u64, draws: &[u64]) -> Turn {
        self.now += 1;
        let now = Duration::from_secs(self.now);
        let power = |n: usize| Watts::whole(draws[n]).min(self.limits[n].1);
        let seen = |(n, (order, limit)): (usize, &(u64, Watts))| Seen {
            gpu: format!("GPU-{n}"),
            at: now,
            stand: if *order == 0 { Stand::Free } else { Stand::Held { order: *order } },
            limit: *limit,
            power: Some(power(n)),
        };
        let readings = Readings {
            budget: Watts::whole(budget),
            others: Watts::whole(100),
            site: self.sighted.then(|| (Watts::whole(100) + (0..draws.len()).map(power).sum(), now)),
            gpus: self.limits.iter().enumerate().map(seen).collect(),
            lost: Vec::new(),
            jobs: self.jobs.clone(),
        };
        let turn = self.regulator.regulate(now, &readings);
        for set in &turn.set {
            let n: usize = set.gpu[4..].parse().expect("a number");
            self.limits[n] = (set.order, set.limit);
        }
        turn
    }
}

#[test]
fn who_consented_to_least_is_cut_last() {
    let mut dice = Dice(11);
    let (mut beyond, mut kept) = (0, 0);
    for _ in 0..500 {
        let tiers = [1.0, 0.9, 0.75, 0.5];
        let count = 4 + dice.below(5);
        let mut bench = Bench::new((0..count).map(|n| job(n, tiers[dice.below(4)])).collect());
        let draws = vec![700; count];
        let most = 100 + 720 * count as u64;
        (0..400).for_each(|_| drop(bench.turn(most * 11 / 10, &draws)));
        assert!(bench.limits.iter().all(|(_, limit)| *limit == Watts::whole(700)), "{:?}", bench.limits);
        let share = dice.between(0.35, 0.95);
        let turn = bench.turn((most as f64 * share) as u64, &draws);
        assert_eq!(turn.short, Watts::ZERO);
        for slow in turn.jobs.iter().filter(|slow| slow.beyond_consent) {
            let least = |id: JobId| bench.jobs[id.0 as usize - 1].least_speed;
            // Whoever consented to more has given all of it, and all above the floor.
            for other in turn.jobs.iter().filter(|other| least(other.job) < least(slow.job)) {
                assert_eq!(other.limit, Watts::whole(200), "{slow:?} before {other:?} at {share}");
                beyond += 1;
            }
        }
        kept += u32::from(turn.jobs.iter().all(|slow| !slow.beyond_consent));
    }
    eprintln!("{beyond} pairs beyond consent in order, {kept} cuts of 500 within what was consented to");
    assert!(beyond > 100 && kept > 100);
}

#[test]
fn who_began_with_fewer_watts_gets_more_only_as_far_as_it_may_and_in_steps() {
    let mut bench = Bench::new(vec![Job { most: Some(Watts::whole(300)), ..job(0, 0.5) }, job(1, 1.0)]);
    (0..300).for_each(|_| drop(bench.turn(2_000, &[700, 700])));
    let whole = |watts: [u64; 2]| watts.map(Watts::whole);
    assert_eq!([bench.limits[0].1, bench.limits[1].1], whole([300, 700]), "there is room for more");
    bench.jobs[0].most = Some(Watts::whole(650));
    let mut steps = vec![(bench.now, bench.limits[0].1)];
    for _ in 0..600 {
        bench.turn(2_000, &[700, 700]);
        if steps.last().is_some_and(|(_, limit)| *limit != bench.limits[0].1) {
            steps.push((bench.now, bench.limits[0].1));
        }
    }
    assert_eq!(steps.last().map(|(_, limit)| *limit), Some(Watts::whole(650)), "{steps:?}");
    for pair in steps[1..].windows(2) {
        let ((before, low), (after, high)) = (pair[0], pair[1]);
        assert!(after - before >= 30 && high.0 - low.0 >= low.0 / 20, "{steps:?}");
        assert!(high.0 - low.0 <= 140_000, "a fifth of the highest: {steps:?}");
    }
    assert!(steps.len() >= 4, "{steps:?}");
    // What it has it keeps, whatever it may have.
    bench.jobs[0].most = Some(Watts::whole(300));
    (0..120).for_each(|_| drop(bench.turn(2_000, &[700, 700])));
    assert_eq!(bench.limits[0].1, Watts::whole(650));
}

#[test]
fn steady_work_comes_to_rest_and_stranded_watts_are_used() {
    let mut bench = Bench::new(vec![job(0, 0.5), job(1, 0.5), job(2, 0.5), job(3, 1.0)]);
    // The first draws little of what it is given, the others all.
    let draws = [150, 700, 700, 700];
    let mut changed = 0;
    for second in 0..3_600 {
        let set = bench.turn(1_900, &draws).set.len();
        changed += usize::from(second >= 1_200 && set > 0);
    }
    eprintln!("at rest: {:?}", bench.limits);
    assert_eq!(changed, 0, "nothing moves any more");
    let sum: u64 = bench.limits.iter().map(|(_, limit)| limit.0).sum();
    assert!(sum + 100_000 <= 1_900_000 * 97 / 100 && sum > 1_600_000, "{sum}");
    assert!(bench.limits[3].1 > bench.limits[0].1 && bench.limits[0].1 <= Watts::whole(300));
}

#[test]
fn jobs_that_may_pause_are_asked_to_when_consent_does_not_fit_for_long() {
    let mut bench = Bench::new(vec![job(0, 1.0), job(1, 1.0), Job { may_pause: true, weight: 0.5, ..job(2, 1.0) }]);
    (0..300).for_each(|_| drop(bench.turn(2_500, &[700; 3])));
    assert!(bench.limits.iter().all(|(_, limit)| *limit == Watts::whole(700)));
    // A budget for two at full speed: limits first, and if that lasts the one that may pause is asked to.
    let first = bench.turn(1_800, &[700; 3]);
    assert!(first.pause.is_empty() && !first.may_start);
    let last = (0..20).map(|_| bench.turn(1_800, &[700; 3])).last().expect("turns");
    assert_eq!(last.pause, [JobId(3)]);
    assert!(last.jobs.iter().any(|slow| slow.because == Because::Budget && slow.speed < 1.0));
}

#[test]
fn without_a_reading_of_the_domain_every_gpu_has_its_static_share() {
    let mut bench = Bench::new(vec![job(0, 1.0), job(1, 0.5)]);
    (0..300).for_each(|_| drop(bench.turn(2_000, &[700; 2])));
    assert!(bench.limits.iter().all(|(_, limit)| *limit == Watts::whole(700)));
    bench.sighted = false;
    (0..15).for_each(|_| drop(bench.turn(2_000, &[700; 2])));
    assert!(bench.limits.iter().all(|(_, limit)| *limit == Watts::whole(700)), "fifteen seconds are let pass");
    let turn = bench.turn(2_000, &[700; 2]);
    assert!(turn.jobs.iter().all(|slow| slow.limit == Watts::whole(300) && slow.because == Because::Blind));
    // With less than the safe caps a share of them, and nothing rises until there is a reading.
    (0..60).for_each(|_| drop(bench.turn(600, &[700; 2])));
    let shares: Vec<Watts> = bench.limits.iter().map(|(_, limit)| *limit).collect();
    assert_eq!(shares, [Watts::whole(241), Watts::whole(241)]);
    (0..60).for_each(|_| drop(bench.turn(2_000, &[700; 2])));
    assert_eq!(bench.limits[0].1, Watts::whole(241));
}
