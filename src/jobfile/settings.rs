//! The one table of what can be said about a job: flag, key in a file, what it means. Flags, directives, job files, the
//! schema and the man page come from it.

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A text with its unit.
    Text,
    /// A whole number; a number in a file, digits on the command line.
    Count,
    /// Several texts: a list in a file, commas on the command line.
    List,
    /// Said or not said.
    Flag,
    /// Names and values: a table in a file, `NAME=VALUE` on the command line.
    Pairs,
}

/// One thing that can be said.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// Flag without its dashes; also the directive and, in capitals, the variable `NEAP_SUBMIT_…`.
    pub flag: &'static str,
    /// Key in a job file, with dots for tables.
    pub key: &'static str,
    /// Placeholder of the value.
    pub value: &'static str,
    /// What it looks like.
    pub shape: Shape,
    /// What it means, in a line.
    pub help: &'static str,
}

const fn setting(
    flag: &'static str,
    key: &'static str,
    value: &'static str,
    shape: Shape,
    help: &'static str,
) -> Setting {
    Setting { flag, key, value, shape, help }
}

/// All of them, in the order of help pages.
pub const SETTINGS: &[Setting] = &[
    setting("name", "name", "NAME", Shape::Text, "Name of the job [default: the file's stem]"),
    setting("project", "project", "NAME", Shape::Text, "Project it belongs to [default: your login name]"),
    setting("queue", "queue", "NAME", Shape::Text, "Queue [default: the site's default queue]"),
    setting(
        "gpus",
        "resources.gpus.count",
        "N|N..M",
        Shape::Count,
        "GPUs in total; of a range as many as are best when it starts [default: 0]",
    ),
    setting("gpu-model", "resources.gpus.model", "A,B", Shape::List, "Acceptable models, best first [default: any]"),
    setting("nodes", "resources.nodes", "N", Shape::Count, "Nodes [default: 1, and no more in this version]"),
    setting("cpus", "resources.cpus", "N", Shape::Count, "Cores in total [default: 1, or the GPUs' share of the node]"),
    setting("mem", "resources.memory", "SIZE", Shape::Text, "Memory in total, such as 512GiB"),
    setting(
        "launch",
        "launch",
        "job|node|gpu",
        Shape::Text,
        "Processes started: one, one a node, one a GPU [default: job]",
    ),
    setting("time", "time.limit", "D", Shape::Text, "Hard stop, such as 6h [default: the queue's]"),
    setting(
        "expect",
        "time.expect",
        "D",
        Shape::Text,
        "How long it takes on the slowest GPUs it may get, for planning [default: learned, else the limit]",
    ),
    setting("finish-by", "time.finish_by", "T", Shape::Text, "Ends by then; it may then wait for cleaner hours"),
    setting("start-by", "time.start_by", "T", Shape::Text, "Starts by then"),
    setting(
        "on-expire",
        "time.on_expire",
        "run|drop",
        Shape::Text,
        "When finish-by can no longer be met [default: run]",
    ),
    setting("not-before", "time.not_before", "T", Shape::Text, "Nothing before that"),
    setting("after", "after", "ID[:ok|any]", Shape::List, "Jobs that have to end first; `ok` when not said"),
    setting("hold", "hold", "", Shape::Flag, "Submit it held"),
    setting(
        "delay",
        "flex.delay",
        "none|carbon|price",
        Shape::Text,
        "Wait for cleaner or cheaper hours [default: none; carbon with --finish-by]",
    ),
    setting("max-delay", "flex.max_delay", "D", Shape::Text, "Wait no longer than that [default: the queue's]"),
    setting("min-saving", "flex.min_saving", "10%", Shape::Text, "Wait only for that much [default: the queue's]"),
    setting(
        "slowdown",
        "flex.slowdown",
        "10%",
        Shape::Text,
        "May be slowed by that much for less energy [default: 0%]",
    ),
    setting("zones", "flex.zones", "A,B", Shape::List, "Zones it may run in [default: the home zone]"),
    setting(
        "pause",
        "flex.pause",
        "SIGNAL:D",
        Shape::Text,
        "May be paused in dirty hours: signal that makes it save itself, and grace, such as SIGUSR1:90s",
    ),
    setting(
        "functional-unit",
        "functional_unit",
        "N NAME",
        Shape::Text,
        "What it does in all, such as '1000 inferences': emissions are told per one of them",
    ),
    setting("retry", "retry", "N|never", Shape::Text, "Further attempts after a node was lost [default: 2]"),
    setting("env", "env", "K=V", Shape::Pairs, "A variable of its environment; K alone takes yours"),
    setting("workdir", "workdir", "DIR", Shape::Text, "Where it starts [default: here]"),
    setting("output", "output", "FILE", Shape::Text, "Where its output goes: %j job, %n name, %t attempt, %h node"),
];

/// What the design knows and this version does not do: refused by name, never ignored.
pub const NOT_BUILT: &[(&str, &str, &str)] = &[
    ("array", "array", "job arrays"),
    ("secret", "secrets", "secrets"),
    ("notify", "notify", "notifications"),
    ("data", "flex.data", "transfer of data between zones"),
    ("on-silence", "on_silence", "a choice of what silence means (it is `keep`)"),
    ("slurm", "slurm", "reading #SBATCH directives"),
];

/// The setting of a flag.
#[must_use]
pub fn by_flag(flag: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.flag == flag)
}

/// The setting of a key.
#[must_use]
pub fn by_key(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == key)
}
