//! The file of `neap powerd`, which is root's alone: nobody else's environment or file decides what it does.

use super::site::path;
use super::walk::{Source, Table};
use crate::diagnostic::Problem;
use neap_executor::powerd::{ClockLock, Config, Group, OnLoss};
use neap_model::refusal::{Code, Refusal};
use neap_model::units::Watts;
use std::cell::RefCell;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Where it is unless it is named.
pub const USUAL: &str = "/etc/neap/powerd.toml";

fn bad(message: impl Into<String>) -> Refusal {
    Refusal::new(Code::BadValue, message)
}

/// Reads the file, if nobody but its owner, who is the user this runs as, can change it.
///
/// # Errors
/// Everything that is wrong with it.
pub fn load(file: &Path) -> Result<Config, Vec<Problem>> {
    let wrong = |why: String| vec![Refusal::new(Code::Unreadable, format!("{}: {why}", file.display())).into()];
    let known = std::fs::metadata(file).map_err(|error| wrong(error.to_string()))?;
    let ours = rustix::process::geteuid().as_raw();
    if known.uid() != ours {
        return Err(wrong(format!("it is owned by user {}, this runs as user {ours}: chown {ours} it", known.uid())));
    }
    if known.mode() & 0o022 != 0 {
        return Err(wrong(format!("others may write it (mode {:o}): chmod go-w it", known.mode() & 0o777)));
    }
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    read(&text, &file.display().to_string())
}

/// Reads the text of the file.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(text: &str, file: &str) -> Result<Config, Vec<Problem>> {
    let source = Source { file, text, problems: RefCell::default() };
    let parsed = source.parse()?;
    let mut top = Table::new(&source, "", Some(parsed.get_ref()));
    let socket = path(&mut top, "socket").unwrap_or_else(|| "/run/neap/power.sock".into());
    let state_dir = path(&mut top, "state_dir").unwrap_or_else(|| "/var/lib/neap-powerd".into());
    let (grants, nvml_lib) = (path(&mut top, "grants"), path(&mut top, "nvml_lib"));
    let allow_uids = uids(&mut top);
    let mut groups = Vec::new();
    for mut table in top.tables("group") {
        groups.extend(group(&mut table));
        table.finish(&[]);
    }
    if groups.is_empty() {
        source.wrong("P013", 0..0, bad("without a [[group]] it may set nothing"));
    }
    top.finish(&[]);
    let problems = source.problems.into_inner();
    let config = Config { socket, state_dir, allow_uids, grants, nvml_lib, groups };
    if problems.is_empty() { Ok(config) } else { Err(problems) }
}

fn uids(top: &mut Table<'_>) -> Vec<u32> {
    let uids = top.wholes("allow_uids");
    if uids.is_empty() {
        top.wrong("P013", "allow_uids", bad("somebody has to be allowed to speak to it: allow_uids = [990]"));
    }
    uids
}

fn group(table: &mut Table<'_>) -> Option<Group> {
    let name = table.text("name").unwrap_or_default();
    let gpus = table.texts("gpus");
    let least: Option<Watts> = table.quantity("least");
    let most: Option<Watts> = table.quantity("most");
    let safe: Option<Watts> = table.quantity("safe_cap");
    let feeder = table.quantity("feeder");
    let clock_lock = table.choice("clock_lock", &[("never", ClockLock::Never), ("ours", ClockLock::Ours)]);
    let on_loss = match (table.choice("on_loss", &[("safe_cap", true), ("restore", false)]), safe) {
        (Some(true), Some(safe)) => OnLoss::SafeCap(safe),
        (Some(true), None) => {
            table.wrong(
                "P013",
                "on_loss",
                bad(format!("group `{name}` goes to a safe cap and names none: safe_cap = \"350 W\"")),
            );
            return None;
        }
        (Some(false) | None, Some(_)) => {
            table.wrong("P013", "safe_cap", bad("a safe cap belongs to on_loss = \"safe_cap\""));
            return None;
        }
        (Some(false) | None, None) => OnLoss::Restore,
    };
    let (Some(least), Some(most)) = (least, most) else {
        table.wrong(
            "P013",
            "name",
            bad(format!("group `{name}` needs its range: least = \"250 W\", most = \"600 W\"")),
        );
        return None;
    };
    Some(Group { name, gpus, limits: least..=most, on_loss, feeder, clock_lock: clock_lock.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_file_is_read() {
        let config = read(include_str!("../../configs/powerd.toml"), "shipped").expect("right");
        assert_eq!(config.groups.len(), 1);
        assert_eq!(config.groups[0].on_loss, OnLoss::SafeCap(Watts::whole(350)));
        assert_eq!(config.groups[0].clock_lock, ClockLock::Never);
    }

    #[test]
    fn clocks_are_locked_only_where_the_file_says_so() {
        let group = "allow_uids = [990]\n[[group]]\nname = \"a\"\nleast = \"200 W\"\nmost = \"600 W\"\n";
        let lock = |text: &str| read(text, "x").map(|config| config.groups[0].clock_lock);
        assert_eq!(lock(group), Ok(ClockLock::Never));
        assert_eq!(lock(&format!("{group}clock_lock = \"ours\"\n")), Ok(ClockLock::Ours));
        assert!(lock(&format!("{group}clock_lock = \"always\"\n")).is_err());
    }

    #[test]
    fn what_is_missing_is_told() {
        let count = |text: &str| read(text, "x").map_or_else(|wrong| wrong.len(), |_| 0);
        assert_eq!(count("allow_uids = [990]\n[[group]]\nname = \"a\"\nleast = \"200 W\"\nmost = \"600 W\"\n"), 0);
        assert_eq!(count(""), 2);
        assert_eq!(count("allow_uids = [\"x\"]\n[[group]]\nname = \"a\"\non_loss = \"safe_cap\"\n"), 4);
        assert_eq!(count("allow_uids = [1]\n[[group]]\nname = \"a\"\nleast = \"200\"\nmost = \"1 W\"\nx = 1\n"), 4);
    }
}
