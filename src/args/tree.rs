//! The command line as a tree: verbs, their flags, and a line of help for each.

use super::Format;
use crate::jobfile::settings::{SETTINGS, Shape};
use crate::simulate::flags;
use clap::{Arg, ArgAction, Command};

/// Verbs that may follow the noun `jobs`.
pub const VERBS_OF_JOBS: &[&str] = &["show", "ls", "why", "logs", "wait", "cancel", "hold", "release", "edit", "now"];

/// Verbs that the design knows and this version does not have.
pub const NOT_BUILT: &[&str] = &[
    "top",
    "zones",
    "nodes",
    "queues",
    "budget",
    "selftest",
    "journal",
    "audit",
    "shadow",
    "dashboard",
    "rules",
    "page",
];

fn verb(name: &'static str, about: &'static str) -> Command {
    Command::new(name).about(about)
}

fn switch(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

fn value(name: &'static str, placeholder: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(placeholder).action(ArgAction::Set).allow_hyphen_values(true).help(help)
}

fn position(name: &'static str, placeholder: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_name(placeholder).help(help)
}

fn one_job() -> Arg {
    position("job", "ID", "A job's number, its name, or `last`").required(true)
}

fn jobs() -> Arg {
    position("job", "ID", "Numbers, names, or `last`").required(true).num_args(1..)
}

/// The flags of a job, from the one table.
fn job_flags(command: Command) -> Command {
    SETTINGS.iter().fold(command, |command, setting| {
        let arg = Arg::new(setting.flag).long(setting.flag).help(setting.help).help_heading("Job");
        command.arg(match setting.shape {
            Shape::Flag => arg.action(ArgAction::SetTrue),
            Shape::Pairs => arg.value_name(setting.value).action(ArgAction::Append).allow_hyphen_values(true),
            _ => arg.value_name(setting.value).action(ArgAction::Set).allow_hyphen_values(true),
        })
    })
}

fn job(command: Command) -> Command {
    job_flags(command)
        .arg(position("file", "SCRIPT|FILE.toml|FILE.json", "Script with #NEAP lines, or job file"))
        .arg(position("command", "CMD", "A command; behind a script: its arguments").num_args(0..).last(true))
        .arg(value("key", "K", "Idempotency key: the same key and job never queue twice"))
}

fn global(command: Command) -> Command {
    let formats: Vec<&str> = Format::NAMES.iter().map(|(name, _)| *name).collect();
    let format = Arg::new("format").short('o').long("format").value_name("FORMAT").global(true);
    let heading = "Everywhere";
    let all = [
        format.value_parser(formats).help("How results are printed [default: table]").hide_possible_values(true),
        switch("quiet", "Ids only; no progress").short('q').global(true),
        switch("no-color", "No colour").global(true),
        value("server", "WHERE", "Socket or http://127.0.0.1:PORT of the scheduler").global(true),
        value("token-file", "FILE", "Token of a loopback door").global(true),
        value("config", "FILE", "Configuration file").global(true),
    ];
    all.into_iter().fold(command, |command, arg| command.arg(arg.help_heading(heading)))
}

fn reason() -> Arg {
    value("reason", "TEXT", "Why, for the record")
}

/// The whole tree.
pub fn tree() -> Command {
    let command = Command::new("neap")
        .about("Energy-aware batch scheduler for AI jobs: it decides when, where, how wide and how hard they run")
        .version(env!("CARGO_PKG_VERSION"))
        .subcommand_required(true)
        .disable_help_subcommand(true)
        .subcommand_value_name("VERB")
        .subcommand_help_heading("Verbs")
        .max_term_width(100)
        .after_help("A first job:  neap run -- echo hello\nExit codes:   neap help exit    Errors: neap help E044    Site file: neap help config");
    global(command)
        .subcommands(of_jobs())
        .subcommands(of_the_site())
        .subcommand(kernel())
        .subcommand(verb("guard", "Guards one attempt").hide(true).arg(position("dir", "DIR", "").required(true)))
}

fn of_jobs() -> Vec<Command> {
    vec![
        job(verb("submit", "Queue a job")),
        job(verb("run", "Queue a job, follow its log and leave with its exit code"))
            .arg(switch("no-embedded", "Never schedule inside this process; a server must answer")),
        job(verb("plan", "The ways to run a job, or one that waits; changes nothing")).arg(value(
            "accept",
            "N",
            "Submit it as in that row",
        )),
        verb("ls", "List jobs")
            .visible_alias("jobs")
            .arg(switch("all", "Jobs that are over as well"))
            .arg(switch("mine", "Own jobs only"))
            .arg(value("state", "S", "Only this state"))
            .arg(value("project", "P", "Only this project"))
            .arg(value("name", "NAME", "Only this name"))
            .arg(value("limit", "N", "At most so many [default: 1000]")),
        verb("show", "Everything about a job").arg(one_job()),
        verb("why", "Why it waits, or what became of it")
            .arg(one_job())
            .arg(switch("history", "What happened, line by line")),
        verb("logs", "A job's output")
            .arg(one_job())
            .arg(switch("follow", "Go on until the job is over").short('f'))
            .arg(value("tail", "N", "Only the last lines")),
        verb("wait", "Wait until jobs are over and leave with their exit code")
            .arg(jobs())
            .arg(value("timeout", "D", "Give up after that, with 118"))
            .arg(switch("any", "The first that ends is enough")),
        verb("now", "Start it at once, or move it to the head").arg(jobs()).arg(reason()),
        verb("hold", "Keep it from starting").arg(jobs()).arg(switch("all", "All live jobs of that name")),
        verb("release", "Let a held job go on").arg(jobs()).arg(switch("all", "All live jobs of that name")),
        job_flags(verb("edit", "Change the terms of a job that waits").arg(one_job())),
        verb("cancel", "End a job")
            .arg(jobs())
            .arg(reason())
            .arg(switch("all", "All live jobs of that name"))
            .arg(switch("if-exists", "No such job is no error")),
    ]
}

fn of_the_site() -> Vec<Command> {
    vec![
        verb("carbon", "The grid now and in the next hours")
            .arg(position("zone", "ZONE", "Only these").num_args(0..))
            .arg(switch("factors", "What the figures measure and where they come from")),
        verb("report", "Energy and emissions of jobs that ended")
            .arg(value("project", "P", "Only this project"))
            .arg(value("since", "T", "Ended since: 2026-11-01, or 7d for seven days ago"))
            .arg(value("until", "T", "Ended before"))
            .arg(
                value("by", "WHAT", "A row a: name, project, queue, zone, month [default: name]")
                    .value_parser(["name", "project", "queue", "zone", "month"]),
            ),
        simulate(),
        verb("status", "Is all well?"),
        policy(),
        node(),
        verb("serve", "The scheduler")
            .arg(switch("check", "Check the configuration and leave"))
            .arg(switch("dev", "With an executor in the same process")),
        verb("executor", "The executor of this node")
            .arg(switch("check", "Check the configuration and leave"))
            .arg(value("nvml-lib", "PATH", "NVIDIA's management library [default: executor.nvml_lib]")),
        verb("powerd", "The privileged helper that sets power limits of GPUs, by lease")
            .arg(position("file", "FILE", "Its configuration, root's alone [default: /etc/neap/powerd.toml]"))
            .arg(switch("restore-all", "Give back every limit and leave"))
            .arg(switch("check", "Check the configuration and leave")),
        verb("doctor", "What this node can measure and do")
            .arg(switch("strict", "A warning is an error"))
            .arg(switch("gpu", "Watch each GPU's meter for ten seconds and, asked first, set a limit and give it back"))
            .arg(switch("yes", "With --gpu: set limits without asking"))
            .arg(value("nvml-lib", "PATH", "NVIDIA's management library [default: executor.nvml_lib]")),
        verb(
            "demo",
            "Try it: the real scheduler in moved time over a simulated site; needs no GPU, key, network or root",
        )
        .arg(value("seed", "N", "Of the made-up jobs and weather; the same gives the same figures [default: 1]"))
        .arg(value("days", "N", "Simulated days, 1 to 14 [default: 3]")),
        verb("completion", "Completions for a shell")
            .arg(position("shell", "bash|zsh|fish", "Which").required(true).value_parser(["bash", "zsh", "fish"])),
        verb("man", "The manual page of a verb").arg(position("verb", "VERB", "Which; none: the first page")),
        verb("help", "Help on a verb, an error code, or: exit, reasons, env, config, schema").arg(position(
            "topic",
            "TOPIC",
            "What about",
        )),
    ]
}

fn policy() -> Command {
    verb("policy", "What operators decide: events, and the site's file").subcommand_required(true).subcommands([
        verb("event", "Announce a power limit or hours of plenty, or take an announcement back")
            .arg(
                value("kind", "WHAT", "cap, demand_response, gpu_cap (every GPU of a node), plenty (nothing waits for cleaner hours), alert, hold_again (a queue)")
                    .value_parser(["cap", "demand_response", "gpu_cap", "plenty", "alert", "hold_again"]),
            )
            .arg(value("limit", "14kW|70%", "Of a cap in watts; of demand response a share of the usual limit"))
            .arg(value("for", "D", "How long: 2h"))
            .arg(value("from", "T", "From when [default: now]"))
            .arg(value("until", "T", "Until when [default: until it is cancelled]"))
            .arg(value("site", "NAME", "A power domain, a zone or, for gpu_cap, a node [default: the whole site]"))
            .arg(value("priority", "N", "0 is the highest; of two that overlap the higher holds"))
            .arg(value("id", "ID", "Its name; the same id and revision again change nothing"))
            .arg(value("revision", "N", "Higher replaces lower"))
            .arg(value("cancel", "ID", "Take this one back"))
            .arg(reason()),
        verb("check", "Check a site's file; needs no server").arg(position(
            "file",
            "FILE",
            "Which [default: the one in use]",
        )),
    ])
}

fn node() -> Command {
    verb("node", "A node of the site").subcommand_required(true).subcommand(
        verb("cap", "Hold every GPU of a node at a limit, or give the limits back")
            .arg(position("node", "NODE", "Which").required(true))
            .arg(position("limit", "250W|off", "The limit of each GPU; off: as they were found").required(true))
            .arg(value("for", "D", "How long: 2h"))
            .arg(value("until", "T", "Until when [default: until it is turned off]"))
            .arg(reason()),
    )
}

/// A replay has a format of its own, that of its trace; how results are printed is `-o` here.
fn simulate() -> Command {
    let formats: Vec<&str> = Format::NAMES.iter().map(|(name, _)| *name).collect();
    let printed = Arg::new("format").short('o').long("output").value_name("FORMAT").value_parser(formats);
    let command = verb("simulate", "Replay a trace of jobs under policies: carbon, waiting, lateness, side by side")
        .arg(position("trace", "TRACE", "The trace; its --format says what is in it"))
        .arg(
            printed
                .help("How results are printed [default: table]")
                .help_heading("Everywhere")
                .hide_possible_values(true),
        );
    let command = flags::VALUES.iter().fold(command, |command, flag| {
        let id = if flag.name == "format" { "trace-format" } else { flag.name };
        let arg = Arg::new(id).long(flag.name).value_name(flag.value).help(flag.help);
        command.arg(arg.action(ArgAction::Set).allow_hyphen_values(true))
    });
    flags::SWITCHES.iter().fold(command, |command, (name, help)| command.arg(switch(name, help)))
}

fn kernel() -> Command {
    verb("kernel", "The built-in workloads").subcommand_required(true).subcommands([
        verb("train", "Train a small network on handwritten digits, on several processes")
            .arg(value("workers", "N", "Processes: 1, 2, 4 or 8 [default: 1]"))
            .arg(value("epochs", "N", "Passes over the images [default: 10]"))
            .arg(value("hidden", "N", "Units of the hidden layer [default: 64]"))
            .arg(value("seed", "N", "Of weights and order [default: 1]"))
            .arg(value("pace", "N", "Most steps a second [default: no limit]"))
            .arg(value("checkpoint", "FILE", "Saved to after each epoch and on the pause signal"))
            .arg(value("model-out", "FILE", "Where the model goes"))
            .arg(switch("resume", "Go on from the checkpoint, if there is one"))
            .arg(value("device", "auto|cpu", "What computes [default: auto]"))
            .arg(value("rank", "N", "Which worker this is, for workers started by hand"))
            .arg(value("peers", "A,B", "Where each rank listens, for workers started by hand"))
            .arg(switch("json", "One JSON object a line")),
        verb("infer", "Classify images with a trained model, on several processes")
            .arg(value("model", "FILE", "What training wrote").required(true))
            .arg(value("images", "N", "How many; past the last it begins again [default: 1797]"))
            .arg(value("workers", "N", "Processes [default: 1]"))
            .arg(value("output", "FILE", "index,label,predicted"))
            .arg(value("rank", "N", "Which worker this is, for workers started by hand"))
            .arg(switch("json", "One JSON object")),
    ])
}
