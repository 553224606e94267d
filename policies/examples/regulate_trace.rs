//! A budget cut by 30 % second by second: `cargo run -p neap-policies --example regulate_trace`.
//!
//! Eight made-up boards of 700 W with a lag of 200 ms, a job on each, orders that take a second; four tiers of consent.
#![allow(clippy::print_stdout, reason = "it prints what it shows")]

use neap_model::job::JobId;
use neap_model::units::Watts;
use neap_policies::regulate::{Board, Config, Job, Readings, Regulator, Seen, Stand};
use std::time::Duration;

const BOARDS: usize = 8;
const FULL: Watts = Watts::whole(BOARDS as u64 * 700 + 400);

fn main() {
    let name = |n: usize| format!("GPU-{n}");
    let boards = (0..BOARDS).map(|n| Board {
        gpu: name(n),
        node: "row-a".into(),
        floor: Watts::whole(200),
        highest: Watts::whole(700),
        vouched: None,
        safe: Some(Watts::whole(350)),
        unheard: None,
    });
    let points = [(200, 0.50), (300, 0.72), (400, 0.86), (500, 0.94), (700, 1.0)];
    let jobs: Vec<Job> = (0..BOARDS)
        .map(|n| Job {
            id: JobId(n as u64 + 1),
            gpus: vec![name(n)],
            weight: 1.0,
            least_speed: [1.0, 0.9, 0.75, 0.5][n / 2],
            most: None,
            may_pause: false,
            pausing: false,
            points: points.map(|(watts, speed)| (Watts::whole(watts), speed)).to_vec(),
        })
        .collect();
    let mut regulator = Regulator::new(Config::default(), boards.collect(), 1, Duration::ZERO);
    let mut stands = vec![(Stand::Free, Watts::whole(350), 70.0f64); BOARDS];
    let mut coming = Vec::new();
    println!("second  budget W  drawn W  committed W  limits of the four tiers W (1, 0.9, 0.75, 0.5)  speed");
    for second in 1..=400u64 {
        let now = Duration::from_secs(second);
        // From the 300th second on 30 % less.
        let budget = if second < 300 { FULL.scaled(103, 100) } else { FULL.scaled(103 * 7, 1_000) };
        for (n, order, limit) in std::mem::take(&mut coming) {
            let stand: &mut (Stand, Watts, f64) = &mut stands[n];
            (stand.0, stand.1) = (Stand::Held { order }, limit);
        }
        for (_, limit, power) in &mut stands {
            *power = limit.in_base() + (*power - limit.in_base()) * (-1.0f64 / 0.2).exp();
        }
        let drawn: f64 = 400.0 + stands.iter().map(|(.., power)| power).sum::<f64>();
        let seen = |(n, (stand, limit, power)): (usize, &(Stand, Watts, f64))| Seen {
            gpu: name(n),
            at: now,
            stand: *stand,
            limit: *limit,
            power: Watts::from_base(*power),
        };
        let readings = Readings {
            budget,
            others: Watts::whole(400),
            site: Watts::from_base(drawn).map(|power| (power, now)),
            gpus: stands.iter().enumerate().map(seen).collect(),
            lost: Vec::new(),
            jobs: jobs.clone(),
        };
        let turn = regulator.regulate(now, &readings);
        coming.extend(turn.set.iter().map(|set| {
            let n = (0..BOARDS).find(|n| name(*n) == set.gpu).expect("one of ours");
            (n, set.order, set.limit)
        }));
        if second < 298 || (second > 306 && second % 20 != 0) {
            continue;
        }
        let of = |n: usize| format!("{:.0} {:.0}", stands[n].1.in_base(), stands[n + 1].1.in_base());
        let speed: f64 = turn.jobs.iter().map(|job| job.speed).sum::<f64>() / BOARDS as f64;
        println!(
            "{second:>6}  {:>8.0}  {drawn:>7.0}  {:>11.0}  {} | {} | {} | {}  {speed:.3}",
            budget.in_base(),
            turn.committed.in_base(),
            of(0),
            of(2),
            of(4),
            of(6)
        );
    }
}
