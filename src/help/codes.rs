//! A page for each error code: what it means and what to do.

use neap_model::refusal::Code;

/// Codes of the site's file.
pub const CONFIGURATION: &[(&str, &str)] = &[
    ("P010", "the site's file cannot be read"),
    ("P011", "the site's file is not TOML"),
    ("P012", "a value of the wrong type"),
    ("P013", "a value that cannot be used, or is missing"),
    ("P014", "unknown key"),
    ("P015", "a key of a later version: not built yet"),
    ("P016", "a name that is not defined"),
    ("P017", "two statements contradict each other"),
];

/// The page of a code, if there is such a code.
pub fn page(code: &str) -> Option<String> {
    if let Some((code, title)) = CONFIGURATION.iter().find(|(known, _)| *known == code) {
        let rest = "In neap.toml. Nothing of a file with a mistake is used. Check it with neap serve --check; neap help config\nprints every key with its default.";
        return Some(format!("{code}: {title}\n\n{rest}\n"));
    }
    let code = Code::ALL.iter().find(|known| known.text() == code)?;
    Some(format!("{}: {}\nexit code {}\n\n{}\n", code.text(), code.title(), code.kind().exit(), of(*code)))
}

fn of(code: Code) -> &'static str {
    match code {
        Code::UnknownFlag => {
            "A verb, flag or page that this version does not have. Flags are never guessed and never passed over:\nneap VERB --help lists what there is. Some are known and not built yet; then the message says so."
        }
        Code::BadValue => "The value does not fit: the message says what was expected.",
        Code::RefusedWord => {
            "`deadline` means ends-by in one system and starts-by in the next. Say --finish-by (it has ended by then) or\n--start-by (it has started by then)."
        }
        Code::ClockChange => {
            "When clocks go back an hour comes twice, when they go forward one does not come. Name the time in full, with its\noffset: 2026-10-25T02:30:00+01:00."
        }
        Code::NoUnit => "Lengths, sizes, powers and shares carry their unit: 4h30m, 512GiB, 20kW, 10%.",
        Code::Unreadable => "The file is not there, is a directory, is too large, or is not UTF-8 text.",
        Code::Syntax => "The file is not well-formed TOML or JSON; the line that cannot be read is shown.",
        Code::UnknownKey => "A key that job files do not have. neap help schema prints all of them.",
        Code::WrongType => "A text where a number belongs, or the other way round; the message says which.",
        Code::Contradiction => {
            "Two statements cannot both hold: a finish-by before the start-by, a wait with --delay none. Take one of them back."
        }
        Code::UnknownDirective => {
            "A #NEAP line that cannot be understood. Directives take the same flags as neap submit, with shell quoting and no\nexpansion. Nothing is ever passed over in silence."
        }
        Code::MisplacedDirective => {
            "#NEAP lines stand above the first command. One below it would not be read, so it is an error: move it up."
        }
        Code::SbatchDirective => {
            "The script has #SBATCH lines. Translating them is not built yet; say the same with #NEAP lines and remove them."
        }
        Code::UnknownPercent => {
            "In an output path %j is the job, %n its name, %a the array index, %t the attempt, %h the node, %% a percent sign."
        }
        Code::NoSuchPlace => "A zone, queue or GPU model that this site does not have. The message lists those it has.",
        Code::NoNodeEver => {
            "No node that was ever seen could run this, not even empty. It is refused now instead of waiting for ever.\nneap status lists the nodes."
        }
        Code::GpusDoNotDivide => "GPUs are spread evenly over nodes, so their number must divide by that of the nodes.",
        Code::FinishBy => {
            "Even the earliest possible start ends after the finish-by. The message names the earliest end; --expect says how\nlong the job takes if that is less than what is assumed."
        }
        Code::StartBy => "There is no room before the start-by. The message names the earliest start.",
        Code::RowGone => {
            "Between looking and accepting, the plan changed, or the row needs a consent. Look again with neap plan."
        }
        Code::ZoneNotAllowed => "The queue does not let its jobs run in that zone.",
        Code::Rule => "A limit of the site or of the queue; the message names it.",
        Code::KeyReused => {
            "A key stands for one job. The same key with the same job prints that job again; with another job it is refused,\nso that a repeated call can never queue something else."
        }
        Code::WrongState => {
            "The job is in a state in which this cannot be done: a job that is over cannot be held, a running one not edited."
        }
        Code::Busy => {
            "Only one may do this at a time, or something holds what it is about: neap doctor --gpu sets limits only on a\nmachine on which nobody else does. Nothing was changed."
        }
        Code::NotAllowed => "This needs a right that you do not have.",
        Code::BadToken => {
            "The loopback door needs its token: --token-file or NEAP_TOKEN_FILE. It lies in the server's state directory."
        }
        Code::NotReached => {
            "Nobody answers. Start a server with neap serve --dev, or run one job without any: neap run FILE. If NEAP_SERVER is\nset, that server is meant and no other."
        }
        Code::Version => "Tool and server speak different versions, or something else answers there.",
        Code::ReadOnly => {
            "The server's disk is full: new jobs cannot be written down, so they are refused. Cancel, hold and everything that\nruns go on. Try again when there is room."
        }
        Code::TooManyRequests => "Too many requests at once. Try again in a few seconds.",
        Code::NoSuchJob => {
            "There is no such job, or it is not yours; both are answered alike. neap ls --all lists yours."
        }
        Code::SeveralJobs => "Several live jobs have that name. Give a number, or --all.",
        Code::Internal => "A fault in Neap itself. Please report the line that was printed and what was typed.",
    }
}
