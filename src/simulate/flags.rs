//! The flags of `simulate`: one table, from which they are typed, helped and read.

/// A flag with a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flag {
    /// Without the dashes.
    pub name: &'static str,
    /// What stands for its value in help.
    pub value: &'static str,
    /// A line of help.
    pub help: &'static str,
}

const fn flag(name: &'static str, value: &'static str, help: &'static str) -> Flag {
    Flag { name, value, help }
}

/// Flags with a value, in the order of help.
pub const VALUES: &[Flag] = &[
    flag("format", "KIND", "What the trace is: gaia-s, gaia-h (seconds or hours), swf, openb, jsonl"),
    flag("carbon", "FILE", "Intensity in g/kWh: datetime_utc and a column a zone, or time,zone,value"),
    flag("marginal", "FILE", "A second series of the same shape: shown beside, never added"),
    flag("policy", "NAME,…", "Policies and baselines, side by side [default: neap]"),
    flag("zones", "A,B", "Zones of the file; job i is at home in zone i mod their number (a number with --synthetic)"),
    flag("home", "ZONE", "All jobs are at home there"),
    flag("moves", "WHERE", "any zone at any time, choose one a job, or home only [default: any]"),
    flag(
        "start",
        "ROW|TIME",
        "Where in the file the trace begins: a row from 0, or a time [default: the trace's, else 0]",
    ),
    flag("capacity", "N|Nx", "GPUs, or a multiple of the mean demand; split over zones evenly [default: no limit]"),
    flag("nodes", "FILE", "A list of nodes (sn,cpu_milli,memory_mib,gpu,model) whose GPUs are the capacity"),
    flag("slack", "RULE", "How long jobs may wait: 24h, or 6h<2h,24h: 6 h below 2 h of length [default: 6h<2h,24h]"),
    flag("lengths", "WHICH", "What a policy knows of them: true, queue-mean, quantiles, asked [default: true]"),
    flag("arrivals", "all|online", "All known from the beginning, or each when it comes [default: all]"),
    flag("forecast", "WHICH", "perfect, column, blend, yesterday, none [default: perfect]; damp_long is not built yet"),
    flag(
        "assume-issued",
        "day-ahead[:H]",
        "A forecast without issue times is trusted H hours ahead [default of H: 48]",
    ),
    flag("lag", "D", "From a forecast's issue until it can be used [default: 0s]"),
    flag("actual-column", "NAME", "Column of what was measured, in a file with a forecast beside it"),
    flag("forecast-column", "NAME", "Column of that forecast"),
    flag("naive", "utc", "Stamps without Z or offset are UTC"),
    flag("stamps", "start", "Stamps name the start of a step, even if they look like ends"),
    flag("model", "WHICH", "whole GPUs at every instant, or divisible: fractions on slot average [default: whole]"),
    flag("slot", "D", "Length of a slot; pieces of whole widths begin at any second in it [default: 1h; online 15m]"),
    flag("gpu-sharing", "WHICH", "A shared GPU counts whole, or as its fraction [default: as the model]"),
    flag("truncate", "D", "Arrivals and lengths are cut to whole steps of that [default: not]"),
    flag("wait-price", "F", "Price of an hour of waiting: F × mean intensity × one GPU's kW [default: 0]"),
    flag("watts-per-gpu", "W", "Power of a GPU with its share of the host [default: 1]"),
    flag("idle", "WHICH", "none, attributed (paused jobs), on (all GPUs), off:S (asleep after S) [default: none]"),
    flag("idle-watts", "W", "Idle power of a GPU with its share of the host; needed where idle is not none"),
    flag("pue", "F|A=F,B=F", "Power usage effectiveness, for all or by zone [default: 1]"),
    flag("pause-cost", "D[,KWH]", "What each pause costs: time run again, and kWh [default: 0s]"),
    flag("seed", "N", "Of everything drawn by chance [default: 1]"),
    flag("fail-if", "EXPR", "Leave with 1 if it holds for a policy: late_jobs>0; carbon_ratio>0.7"),
    flag("plot", "FILE.svg", "Draw carbon against waiting, a point a policy"),
    flag("synthetic", "N", "No trace: N jobs of the built-in test"),
    flag("threads", "N", "Threads for planning; the result is the same [default: 1]"),
];

/// Flags without a value.
pub const SWITCHES: &[(&str, &str)] = &[
    ("interruptible", "Jobs may pause and go on"),
    ("plan-only", "Plan once, with everything known, and replay nothing"),
    ("no-timing", "Leave out how long planning took: the same input then gives the same bytes"),
];
