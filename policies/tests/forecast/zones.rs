//! Public histories, and what a contiguous job saves there that follows a forecast: for the tests of the forecaster, in the
//! crate and outside it.

use chrono::{DateTime, TimeDelta, Utc};
use std::io::Read;
use std::path::PathBuf;

/// Hours that a forecast reaches ahead.
const HORIZON: usize = 96;

/// Hours of the test span.
pub const SPAN: usize = 4_344;

pub struct Zone {
    pub name: String,
    pub from: DateTime<Utc>,
    pub hours: Vec<Option<f64>>,
}

/// A file of the shared data; says so where it is not there.
pub fn shared(path: &str) -> Option<PathBuf> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(path);
    if !path.exists() {
        eprintln!("SKIPPED: {} is not here", path.display());
        return None;
    }
    Some(path)
}

/// A column of a table with a time in the first one.
pub fn column(name: &str, text: &str, at: usize) -> Zone {
    let rows = text.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>());
    let hours = rows.map(|cells| cells.get(at).and_then(|cell| cell.parse().ok())).collect();
    let first = text.lines().nth(1).and_then(|line| line.split(',').next()).expect("a table has rows");
    let from = chrono::NaiveDateTime::parse_from_str(first.trim_end_matches('Z'), "%Y-%m-%dT%H:%M").expect("a time");
    Zone { name: name.to_owned(), from: from.and_utc(), hours }
}

pub fn history_file(zone: &str) -> Option<Zone> {
    let bytes = std::fs::read(shared(&format!("forecast/{zone}.csv.gz"))?).expect("it is there");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("gzip");
    Some(column(zone, &text, 1))
}

impl Zone {
    /// What a forecast at that hour may see, the newest hour last, and the time at which it ends.
    pub fn before(&self, hour: usize) -> (&[Option<f64>], DateTime<Utc>) {
        (&self.hours[hour.saturating_sub(1_200 * 24)..hour], self.from + TimeDelta::hours(hour as i64))
    }
}

/// What came of following a forecast, in percent.
#[derive(Clone, Copy, Default, Debug)]
pub struct Score {
    pub mape: [f64; 5],
    pub saved: [f64; 2],
    pub oracle: [f64; 2],
    pub worse: [f64; 2],
}

impl Score {
    pub fn regret(&self, of: usize) -> f64 {
        self.oracle[of] - self.saved[of]
    }
}

/// Length and reach of the two decisions, in hours.
const DECISIONS: [(usize, usize); 2] = [(4, 24), (8, 48)];

pub fn judge(zone: &Zone, issues: impl Iterator<Item = usize>, rule: impl Fn(&Zone, usize) -> Vec<f64>) -> Score {
    let mut score = Score::default();
    let (mut count, mut sums) = (0.0, [[0.0; 3]; 2]);
    for issue in issues {
        let Some(truth) = zone.hours[issue..issue + HORIZON].iter().copied().collect::<Option<Vec<f64>>>() else {
            continue;
        };
        let said = rule(zone, issue);
        count += 1.0;
        for (h, (said, truth)) in said.iter().zip(&truth).enumerate() {
            let share = (said - truth).abs() / truth.max(1e-9);
            score.mape[h / 24] += share / 24.0;
            score.mape[4] += share / HORIZON as f64;
        }
        for (of, (length, reach)) in DECISIONS.into_iter().enumerate() {
            let mean = |values: &[f64], start: usize| values[start..start + length].iter().sum::<f64>() / length as f64;
            let starts = 0..=reach - length;
            let chosen = starts.clone().min_by(|a, b| mean(&said, *a).total_cmp(&mean(&said, *b))).expect("a start");
            let best = starts.map(|start| mean(&truth, start)).fold(f64::MAX, f64::min);
            let (now, then) = (mean(&truth, 0), mean(&truth, chosen));
            sums[of] = [sums[of][0] + now, sums[of][1] + then, sums[of][2] + best];
            score.worse[of] += f64::from(u8::from(then > now * 1.001));
        }
    }
    score.mape = score.mape.map(|sum| 100.0 * sum / count);
    for (of, [now, then, best]) in sums.into_iter().enumerate() {
        (score.saved[of], score.oracle[of]) = (100.0 * (now - then) / now, 100.0 * (now - best) / now);
        score.worse[of] = 100.0 * score.worse[of] / count;
    }
    score
}

pub fn span(zone: &Zone, step: usize) -> impl Iterator<Item = usize> + use<> {
    let end = zone.hours.len();
    (end - SPAN..=end - HORIZON).step_by(step)
}

pub fn show(zone: &str, rule: &str, score: &Score) {
    let [d1, d2, d3, d4, all] = score.mape;
    eprintln!(
        "{zone:18} {rule:10} d1 {d1:5.2} d2 {d2:5.2} d3 {d3:5.2} d4 {d4:5.2} 96h {all:5.2} | 4 in 24: {:5.2}, worse {:4.1}, \
         regret {:5.3} | 8 in 48: {:5.2}, worse {:4.1}, regret {:5.3}",
        score.saved[0],
        score.worse[0],
        score.regret(0),
        score.saved[1],
        score.worse[1],
        score.regret(1),
    );
}

pub fn summary(what: &str, ratios: &[[f64; 2]]) {
    let mean = |of: usize| ratios.iter().map(|pair| pair[of]).sum::<f64>() / ratios.len().max(1) as f64;
    eprintln!("{what}: 4 in 24 × {:.3}, 8 in 48 × {:.3}, both × {:.3}", mean(0), mean(1), (mean(0) + mean(1)) / 2.0);
}
