//! The seam between `simulate` and the policies: a name, and what ran under it. Nothing else of the verb knows policies.

mod clairvoyant;

pub use clairvoyant::bound;

use super::case::Setting;
use super::options::{Forecast, Lengths, Model, Moves, Options};
use super::progress::Progress;
use crate::diagnostic::did_you_mean;
use neap_model::refusal::{Code, Refusal};
use neap_policies::baselines::{self, Rule};
use neap_policies::market::{Effort, Mode, Prices, solve};
use neap_policies::replay::Ran;
use neap_policies::replay::online::{Online, Outlook, Sight, play};
use neap_policies::whole::{self, Terms};
use std::time::Instant;

/// Ours.
const NEAP: &str = "neap";

/// What ran under a policy.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// By job.
    pub ran: Vec<Ran>,
    /// By plan, how far its cost lay above its own bound, as a share of it; empty where a policy proves nothing.
    pub gaps: Vec<f64>,
    /// By plan, how long it took, in seconds.
    pub seconds: Vec<f64>,
    /// No plan of this kind emits less, in grams; `None` where that was not found on the way.
    pub bound: Option<f64>,
    /// That bound holds for every policy, whatever it breaks or divides.
    pub bounds_all: bool,
}

/// All names, ours first.
pub fn names() -> impl Iterator<Item = &'static str> {
    std::iter::once(NEAP).chain(Rule::ALL.into_iter().map(Rule::name))
}

/// Whether there is a policy of that name.
///
/// # Errors
/// The names there are.
pub fn known(name: &str) -> Result<(), Refusal> {
    if names().any(|known| known == name) {
        return Ok(());
    }
    let refusal = Refusal::new(Code::BadValue, format!("there is no policy `{name}`")).about("policy", name);
    let refusal = refusal.note(format!("policies: {}", names().collect::<Vec<_>>().join(", ")));
    Err(match did_you_mean(name, names()) {
        Some(near) => refusal.hint(format!("did you mean `{near}`?"), &[]),
        None => refusal,
    })
}

/// Runs a case under a policy.
///
/// # Errors
/// There is no such policy, or it cannot do what was asked for.
pub fn run(name: &str, setting: &Setting, options: &Options, progress: &mut Progress) -> Result<Outcome, Refusal> {
    known(name)?;
    match Rule::by_name(name) {
        Some(rule) => baseline(rule, setting, options),
        None => neap(setting, options, progress),
    }
}

fn baseline(rule: Rule, setting: &Setting, options: &Options) -> Result<Outcome, Refusal> {
    let lengths = match options.lengths {
        Lengths::True => baselines::Lengths::True,
        Lengths::QueueMean | Lengths::Asked => baselines::Lengths::Assumed,
        Lengths::Quantiles => {
            let refusal = Refusal::new(Code::Contradiction, format!("{} knows no quantiles of lengths", rule.name()));
            return Err(refusal.hint("--lengths true, queue-mean or asked", &[]));
        }
    };
    let began = Instant::now();
    let ran = baselines::run(rule, &setting.case, lengths);
    Ok(Outcome { ran, seconds: vec![began.elapsed().as_secs_f64()], ..Outcome::default() })
}

fn neap(setting: &Setting, options: &Options, progress: &mut Progress) -> Result<Outcome, Refusal> {
    let cannot = |what: &str, hint: &str| Err(Refusal::new(Code::Contradiction, what).hint(hint, &[]));
    if !options.interruptible {
        return contiguous(setting, options);
    }
    if options.lengths != Lengths::True {
        return cannot("neap plans interruptible jobs by their true length", "--lengths true");
    }
    if options.online {
        if options.model == Model::Whole {
            return cannot("the online replay knows the divisible model only", "--model divisible, or --arrivals all");
        }
        return online(setting, options, progress);
    }
    if options.forecast != Forecast::Perfect {
        return cannot("with --arrivals all every hour is known", "--forecast perfect, or --arrivals online");
    }
    let fine = options.model == Model::Whole || options.slot <= clairvoyant::step(&setting.case);
    let bounds_all = options.moves != Moves::Choose && fine;
    let began = Instant::now();
    let (ran, cost, bound) = match options.model {
        Model::Whole => {
            let laid = clairvoyant::laid(&setting.case, options);
            (clairvoyant::in_pieces(&setting.case, &laid), laid.cost, laid.bound)
        }
        Model::Divisible => {
            let (solution, market) = clairvoyant::solved(&setting.case, options, Effort::default());
            (clairvoyant::ran(&setting.case, &market, &solution), solution.cost, solution.bound)
        }
    };
    let seconds = vec![began.elapsed().as_secs_f64()];
    let gaps = gap(cost, bound).into_iter().collect();
    Ok(Outcome { ran, gaps, seconds, bound: (options.wait_price == 0.0).then_some(bound), bounds_all })
}

/// Every job runs once, with its whole width.
fn contiguous(setting: &Setting, options: &Options) -> Result<Outcome, Refusal> {
    let cannot = |what: &str, hint: &str| Err(Refusal::new(Code::Contradiction, what).hint(hint, &[]));
    let case = &setting.case;
    let limited = case.places.iter().any(|place| place.gpus.is_some());
    let waiting = whole::price_of_waiting(case, options.wait_price);
    if options.model == Model::Divisible && limited {
        return cannot("runs that are not broken need whole GPUs", "--model whole, or --interruptible");
    }
    if options.forecast != Forecast::Perfect {
        return cannot(
            "neap plans unbroken runs of a trace with every hour known",
            "--forecast perfect, or --interruptible",
        );
    }
    let began = Instant::now();
    let outcome = match options.lengths {
        Lengths::True if !limited => Outcome { ran: whole::known(case, waiting), ..Outcome::default() },
        Lengths::Quantiles if !limited => Outcome { ran: whole::unknown(case, waiting), ..Outcome::default() },
        Lengths::True => {
            let (terms, effort) = (Terms::with_waiting(case, waiting), whole::Effort::default());
            if options.online {
                // One figure for the whole replay would be none for a plan.
                return Ok(Outcome {
                    ran: whole::online(case, &terms, effort, options.slot).ran,
                    ..Outcome::default()
                });
            }
            let planned = whole::plan(case, &terms, effort);
            let bound = (options.wait_price == 0.0).then_some(planned.bound);
            let gaps = gap(planned.cost, planned.bound);
            Outcome { ran: planned.ran, gaps: gaps.into_iter().collect(), bound, ..Outcome::default() }
        }
        Lengths::Quantiles => {
            return cannot("unknown lengths are planned without a limit only", "--lengths true, or no --capacity");
        }
        Lengths::QueueMean | Lengths::Asked => {
            return cannot("neap takes no mean for a length", "--lengths true, or quantiles");
        }
    };
    Ok(Outcome { seconds: vec![began.elapsed().as_secs_f64()], ..outcome })
}

/// How far a cost lies above its bound, as a share of it.
#[must_use]
pub fn gap(cost: f64, bound: f64) -> Option<f64> {
    (bound.abs() > 0.0).then(|| (cost - bound) / bound.abs())
}

/// Jobs are seen when they come, and hours as far as they are forecast.
fn online(setting: &Setting, options: &Options, progress: &mut Progress) -> Result<Outcome, Refusal> {
    let outlook = match options.forecast {
        Forecast::Perfect => Outlook::Perfect,
        Forecast::Column => Outlook::Provider,
        Forecast::Blend => Outlook::Blend,
        Forecast::Yesterday => Outlook::Yesterday,
        Forecast::Nothing => Outlook::Present,
        Forecast::DampLong => return Err(Refusal::new(Code::BadValue, "--forecast damp_long is not built yet")),
    };
    if outlook == Outlook::Provider
        && let Some(place) = setting.issues.iter().position(Vec::is_empty)
    {
        let zone = &setting.case.places[place].name;
        let refusal = Refusal::new(Code::Contradiction, format!("{zone} has no forecast that says when it was issued"));
        let hint = "name its column with --forecast-column and say --assume-issued day-ahead, or --forecast yesterday";
        return Err(refusal.hint(hint, &[]));
    }
    let sight = Sight { outlook, issues: &setting.issues, trusted: options.trusted.unwrap_or(f64::INFINITY) };
    let online = Online {
        slot: options.slot,
        sight,
        mode: Mode::Interruptible,
        stays: options.moves == Moves::Choose,
        waiting: whole::price_of_waiting(&setting.case, options.wait_price),
        expected: 0.0,
    };
    let mut seconds = Vec::new();
    let all = setting.case.jobs.iter().map(|job| job.arrival + job.length + job.slack).fold(0.0, f64::max) as usize;
    let mut plan = |market: &_, before: Option<&Prices>| {
        let began = Instant::now();
        let solution = solve(market, Effort::default(), before);
        seconds.push(began.elapsed().as_secs_f64());
        solution
    };
    let played = play(&setting.case, &online, &mut plan, &mut |now| progress.at((now.max(0.0) as usize).min(all), all));
    Ok(Outcome { ran: played.ran, gaps: played.gaps, seconds, ..Outcome::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_and_slips_are_told() {
        assert!(["neap", "run-now", "wait-awhile", "gaia-carbon-time"].into_iter().all(|name| known(name).is_ok()));
        let refusal = known("run-nwo").expect_err("a slip");
        assert!(
            refusal.hints[0].text.contains("run-now") && refusal.note.is_some_and(|note| note.contains("ecovisor"))
        );
    }
}
