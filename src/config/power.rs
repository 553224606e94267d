//! What `[[power_domain]]` and `[grid.webhook]` mean.

use super::feeds::key_in;
use super::walk::Table;
use crate::diagnostic::did_you_mean;
use neap_model::job::is_name;
use neap_model::refusal::{Code, Refusal};
use neap_model::units::{Percent, Watts};
use neap_scheduler::config::{Key, NodeConfig, PowerDomain, Ramp, WhenOver};
use std::collections::BTreeMap;

/// Most nodes one pattern may stand for.
const MOST: u32 = 10_000;

fn bad(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::BadValue, message)
}

/// Reads every `[[power_domain]]`.
pub fn domains(top: &mut Table<'_>, configured: &[NodeConfig]) -> Vec<PowerDomain> {
    let mut all: Vec<PowerDomain> = Vec::new();
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    for mut table in top.tables("power_domain") {
        let name = table.text("name").unwrap_or_default();
        if !is_name(&name) {
            table.wrong("P013", "name", bad(format!("`{name}` cannot name a power domain")));
        }
        if all.iter().any(|known| known.name == name) {
            table.wrong("P017", "name", bad(format!("power domain `{name}` stands here twice")));
        }
        let mut nodes = Vec::new();
        for pattern in table.texts("nodes") {
            match spread(&pattern) {
                Ok(names) => nodes.extend(names),
                Err(why) => {
                    table.wrong("P013", "nodes", bad(format!("`{pattern}`: {why}")).note("gpu[01-04,07], gpu1"))
                }
            }
        }
        if nodes.is_empty() {
            table.wrong("P013", "name", bad(format!("power domain `{name}` needs its `nodes`")));
        }
        for node in &nodes {
            if let Some(other) = taken.insert(node.clone(), name.clone()) {
                table.wrong("P017", "nodes", bad(format!("node `{node}` is in power domain `{other}` already")));
            }
        }
        let cap = table.quantity("cap");
        let over = [
            ("cap_gpus", WhenOver::CapGpus),
            ("pause_flexible", WhenOver::PauseFlexible),
            ("stop_starting", WhenOver::StopStarting),
        ];
        let mut when_over = Vec::new();
        for word in table.texts("when_over") {
            match over.iter().find(|(known, _)| *known == word) {
                Some((_, step)) => when_over.push(*step),
                None => {
                    let refusal = bad(format!("`{word}` is no way to save power"));
                    let refusal = match did_you_mean(&word, over.iter().map(|(known, _)| *known)) {
                        Some(near) => refusal.hint(format!("did you mean `{near}`?"), &[]),
                        None => refusal.note("cap_gpus, pause_flexible, stop_starting"),
                    };
                    table.wrong("P013", "when_over", refusal);
                }
            }
        }
        if when_over.is_empty() {
            when_over = over.map(|(_, step)| step).to_vec();
        }
        let min_gpu_cap: Percent = table.quantity("min_gpu_cap").unwrap_or(Percent::whole(50));
        if min_gpu_cap > Percent::whole(100) {
            table.wrong("P013", "min_gpu_cap", bad("a share of the card's default limit lies between 0% and 100%"));
        }
        if let Some(zone) = table.text("zone")
            && let Some(elsewhere) = configured.iter().find(|node| nodes.contains(&node.name) && node.zone != zone)
        {
            let (node, other) = (&elsewhere.name, &elsewhere.zone);
            table.wrong(
                "P016",
                "zone",
                bad(format!("node `{node}` is in zone `{other}`, its power domain in `{zone}`")),
            );
        }
        let ramp = table.quantity("ramp");
        if let Some(Ramp::Share(share)) = ramp
            && !(Percent(1)..=Percent::whole(100)).contains(&share)
        {
            table.wrong("P013", "ramp", bad("a share of the limit lies above 0% and not above 100%"));
        }
        if ramp == Some(Ramp::Power(Watts::ZERO)) {
            table.wrong("P013", "ramp", bad("nothing would ever start; to stop starts announce a cap"));
        }
        table.finish(&["parent", "covers"]);
        all.push(PowerDomain { name, nodes, cap, when_over, min_gpu_cap, ramp });
    }
    all
}

/// The names a pattern stands for: `gpu[01-04,07]`, or one plain name.
fn spread(pattern: &str) -> Result<Vec<String>, String> {
    let Some((head, rest)) = pattern.split_once('[') else {
        return if is_name(pattern) {
            Ok(vec![pattern.to_owned()])
        } else {
            Err("no node can have that name".to_owned())
        };
    };
    let (inside, tail) = rest.split_once(']').ok_or("a `[` without its `]`")?;
    let mut names = Vec::new();
    for part in inside.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<u32>().map_err(|_| format!("`{text}` is no number"));
        let (from, to) = (number(first)?, number(last)?);
        if from > to || to - from >= MOST {
            return Err(format!("{from} to {to} is no range"));
        }
        let width = first.len();
        names.extend((from..=to).map(|n| format!("{head}{n:0width$}{tail}")));
    }
    match names.iter().find(|name| !is_name(name)) {
        Some(name) => Err(format!("no node can be called `{name}`")),
        None => Ok(names),
    }
}

/// Reads `[grid.webhook]`: where the keys are that events are signed with.
pub fn event_keys(mut table: Table<'_>) -> Vec<Key> {
    let mut keys = Vec::new();
    for mut key in table.tables("keys") {
        match key_in(&mut key) {
            Some(found) => keys.push(found),
            // What stands there may be a key: neither it nor its line is repeated.
            None => key.wrong(
                "P013",
                "",
                bad("a key is `{ file = \"/…\" }` or `{ env = \"NAME\" }`, the file by its whole path"),
            ),
        }
        key.finish(&[]);
    }
    table.finish(&[]);
    keys
}

#[cfg(test)]
mod tests {
    use super::spread;

    #[test]
    fn a_pattern_is_a_list_of_names() {
        let check = |pattern, names: &[&str]| assert_eq!(spread(pattern).expect(pattern), names);
        check("gpu1", &["gpu1"]);
        check("gpu[01-03,07]", &["gpu01", "gpu02", "gpu03", "gpu07"]);
        check("r[9-11]-a", &["r9-a", "r10-a", "r11-a"]);
        for wrong in ["gpu[1", "gpu[a]", "gpu[3-1]", "gpu[0-99999]", "", "a b", "gpu[1-2]/x"] {
            assert!(spread(wrong).is_err(), "{wrong}");
        }
    }
}
