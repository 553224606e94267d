//! Whole demos: the books add up, promises are kept, and a seed is all that a run depends on.

use super::{Options, Told, play};
use crate::args;
use crate::render::{Style, demo as shown};
use neap_model::lifecycle::{Outcome, Phase};
use neap_model::units::Joules;

const PLAIN: Style = Style { zone: chrono_tz::Tz::UTC, unicode: true, width: None };

fn played(seed: u64, days: u32) -> Told {
    play(Options { seed, days }, |_, _| {}).expect("the built-in site can be played")
}

#[test]
fn the_books_add_up_and_promises_are_kept() {
    let mut did = [0; 5];
    for seed in [1, 2] {
        let told = played(seed, 3);
        assert_eq!(told.submitted, 60);
        assert_eq!((told.succeeded, told.failed, told.live), (60, 0, 0), "seed {seed}");
        // Whoever missed it could not have kept it by the plan it was told at once.
        assert!(told.missed.did <= told.hopeless, "seed {seed}: {:?}, {}", told.missed, told.hopeless);
        assert_eq!(told.refused_plans, 0, "seed {seed}");
        // To the millijoule: what jobs used and what nobody used is what the nodes used.
        let jobs: Joules = told.jobs.iter().map(|job| job.account.it_energy()).sum();
        assert_eq!(jobs, told.all.energy, "seed {seed}");
        assert_eq!(jobs + told.all.idle, told.node_energy, "seed {seed}");
        for job in &told.jobs {
            assert!(matches!(&job.phase, Phase::Ended { outcome: Outcome::Succeeded, .. }), "job {}", job.id);
            assert_eq!(job.account.actual.uncovered, Joules::ZERO, "job {}", job.id);
            let wide = job.gpus.len() as u32;
            assert!((job.spec.resources.gpus..=job.spec.resources.most_gpus()).contains(&wide), "job {}", job.id);
        }
        let (_, certificate) = told.certificate.expect("somebody waited");
        assert!(certificate.bound <= certificate.emits && certificate.jobs > 1);
        assert!(told.waiting.is_some() && told.over.len() > 1, "seed {seed}");
        let shares = [told.waited, told.paused, told.wide, told.moved, told.capped];
        did.iter_mut().zip(shares).for_each(|(did, share)| *did += share.did);
    }
    assert!(did.iter().all(|did| *did > 0), "something is never shown: {did:?}");
}

#[test]
fn the_same_seed_is_the_same_to_the_byte_and_another_is_not() {
    let (one, again, other) = (played(1, 1), played(1, 1), played(2, 1));
    assert_eq!(shown::text(&one, &PLAIN), shown::text(&again, &PLAIN));
    assert_eq!(shown::value(&one).to_string(), shown::value(&again).to_string());
    assert_ne!(shown::text(&one, &PLAIN), shown::text(&other, &PLAIN));
    // The reader's clock plays no part.
    let berlin = Style { zone: chrono_tz::Europe::Berlin, ..PLAIN };
    assert_eq!(shown::text(&one, &PLAIN), shown::text(&one, &berlin));
    text_and_data_agree(&one);
}

/// Both say the same, and first that it is simulated.
fn text_and_data_agree(told: &Told) {
    let (text, value) = (shown::text(told, &PLAIN), shown::value(told));
    assert!(text.starts_with("All of this is simulated"), "{text}");
    assert!(text.contains(&format!("finish-by   {} of {} missed", told.missed.did, told.missed.of)), "{text}");
    assert_eq!((value["schema"].as_str(), value["simulated"].as_bool()), (Some("neap.demo/1"), Some(true)));
    assert_eq!(value["missed_finish_by"]["of"].as_u64(), Some(u64::from(told.missed.of)));
    assert_eq!(value["jobs"].as_array().map(Vec::len), Some(60));
    let zones = value["zones"].as_array().expect("zones");
    let sum: f64 = zones.iter().filter_map(|zone| zone["energy_joules"].as_f64()).sum();
    assert!((sum - value["all"]["energy_joules"].as_f64().expect("a number")).abs() < 1e-3);
    let (all, saved) = (&value["all"], value["all"]["saved_grams"].as_f64().expect("a number"));
    let difference = all["run_now_carbon_grams"].as_f64().zip(all["carbon_grams"].as_f64()).map(|(then, is)| then - is);
    assert!((saved - difference.expect("numbers")).abs() < 1e-6);
    // What is printed to be typed can be typed.
    for command in value["next"].as_array().expect("commands") {
        let words = command.as_str().expect("text").trim_end_matches(" &").split(' ');
        assert!(args::parse(words.map(Into::into)).is_ok(), "{command}");
    }
}
