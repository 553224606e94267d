//! Pages of `neap help`: error codes, exit codes, reasons, the environment, the site's file, the schema of job files.

mod codes;
mod schema;

use crate::args::help_of;
use crate::config::DEFAULT;
use crate::diagnostic::did_you_mean;
use crate::session::{Problems, problem};
use neap_model::refusal::{Code, Refusal};
use std::fmt::Write as _;

const TOPICS: &[&str] = &["exit", "reasons", "env", "config", "schema", "errors"];

/// The page of a topic; without one, the first page.
///
/// # Errors
/// If there is no such page.
pub fn page(topic: Option<&str>) -> Result<String, Problems> {
    let Some(topic) = topic else { return Ok(help_of(None).unwrap_or_default()) };
    let upper = topic.to_uppercase();
    match topic.to_lowercase().as_str() {
        "exit" => Ok(EXIT.to_owned()),
        "reasons" => Ok(REASONS.to_owned()),
        "env" => Ok(ENVIRONMENT.to_owned()),
        "config" => Ok(DEFAULT.to_owned()),
        "schema" => Ok(schema::job_file() + "\n"),
        "errors" => Ok(all_codes()),
        verb => match (codes::page(&upper), help_of(Some(verb))) {
            (Some(page), _) | (None, Some(page)) => Ok(page),
            (None, None) => Err(unknown(topic)),
        },
    }
}

/// There is no such page or verb.
#[must_use]
pub fn unknown(topic: &str) -> Problems {
    let refusal = Refusal::new(Code::UnknownFlag, format!("there is no help on `{topic}`"));
    let known =
        ["submit", "run", "plan", "ls", "show", "why", "logs", "wait", "now", "hold", "release", "edit", "cancel"];
    let rest = [
        "carbon",
        "report",
        "simulate",
        "status",
        "demo",
        "serve",
        "executor",
        "doctor",
        "kernel",
        "completion",
        "man",
    ];
    let near = did_you_mean(topic, known.into_iter().chain(rest).chain(TOPICS.iter().copied()));
    problem(match near {
        Some(near) => refusal.hint("did you mean", &["help", near]),
        None => refusal.note(format!("a verb, an error code such as E044, or: {}", TOPICS.join(", "))),
    })
}

fn all_codes() -> String {
    let mut text = String::new();
    for code in Code::ALL {
        let _ = writeln!(text, "{}  {:<55} exit {}", code.text(), code.title(), code.kind().exit());
    }
    for (code, title) in codes::CONFIGURATION {
        let _ = writeln!(text, "{code}  {title:<55} exit 2 (serve --check), 78 (serve)");
    }
    text + "A page on each: neap help E044\n"
}

const EXIT: &str = "\
Exit codes. They do not change.

  0    ok                              5    refused by policy
  1    failed                          6    infeasible: it could never run, or not by then
  2    usage, or a mistake in a file   7    not allowed
  3    no server reached               74   a daemon's storage failed: start it again
  4    no such job                     78   a daemon's configuration or format: a start again cannot help

`run` and `wait` pass on the job's own code when it ended by itself (128 + n for signal n); else

  103  cancelled    104  time limit    105  expired    106  lost with its node

and for what went wrong with themselves 110 + the code above: 112 usage, 113 no server reached, 118 timed out.
`wait` on several jobs leaves with the worst, with --any with that of the first to end.
With -o json the field `exit_from` says whose code it is: `job` or `neap`.
";

const REASONS: &str = "\
Reasons: why a job does not run now. `neap why ID` names every one of them, the binding one first.

  you.hold              a person holds it: neap release ID
  you.dependency        jobs it comes after (--after) are not over
  you.not_before        it asked not to start earlier
  system.evaluating     being planned: a moment
  system.starting       being placed on its node
  system.no_executor    no executor is up where it may run: neap status
  capacity.gpus         too few GPUs are free
  capacity.cpus         too few cores are free
  capacity.memory       too little memory is free
  capacity.fragmented   enough is free, but not on one node
  order.behind          jobs before it in the queue take the room
  capacity.power        too little power is left, at once or while it would run, under the limit of its power domain, zone or site
  capacity.ramp         as much was started in its power domain within the last minute as may be
  policy.peak           as many GPUs as may be in use there at once are in use: peak_gpus of the zone
  order.reserved        the room that is free is promised to an earlier job
  grid.cleaner_later    it consented to wait, and cleaner hours come: neap now ID starts it at once
  grid.cheaper_later    it consented to wait, and cheaper hours come: neap now ID starts it at once

Ends: end.exit  end.signal  end.limit  end.cancelled  end.finish_by  end.launch  end.node_lost
Binding is what only a person can clear, then what clears last.
";

const ENVIRONMENT: &str = "\
What the tool reads
  NEAP_SERVER          socket or http://127.0.0.1:PORT of the scheduler; set and dead is an error, never a fallback
  NEAP_TOKEN_FILE      token of a loopback door
  NEAP_CONFIG          configuration file
  NEAP_NVML_LIB        NVIDIA's management library, before executor.nvml_lib and behind --nvml-lib
  NEAP_ZONE            home zone where no configuration names one, such as DE or US-CAL-CISO
  NEAP_OUTPUT          default of -o
  NEAP_TIMEZONE        time zone for what people read and type; else TZ, else the host's
  NEAP_SUBMIT_*        defaults of a job's flags: NEAP_SUBMIT_QUEUE=overnight
  NO_COLOR, TERM=dumb  no colour

What a job finds
  NEAP_JOB_ID  NEAP_JOB_NAME  NEAP_PROJECT  NEAP_EPOCH  NEAP_ATTEMPT  NEAP_RESUMED  NEAP_END_BY  NEAP_FINISH_BY
  NEAP_PAUSE_SIGNAL  NEAP_SCRATCH  NEAP_ZONE  NEAP_NODE  NEAP_NODES  NEAP_NODE_COUNT  NEAP_NODE_RANK
  NEAP_PROGRESS (a file: write the number of steps done; with it --slowdown can save energy)
  NEAP_GPUS  NEAP_GPUS_PER_NODE  NEAP_GPU_UUIDS  NEAP_CPUS  NEAP_CARBON_GRAMS_PER_KWH
  CUDA_DEVICE_ORDER  CUDA_VISIBLE_DEVICES  MASTER_ADDR  MASTER_PORT  PET_* (torchrun's defaults)
  and a clean PATH HOME USER LANG TMPDIR. The caller's environment is not copied: --env NAME, --env NAME=VALUE.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_page() {
        for code in Code::ALL {
            let page = page(Some(code.text())).expect("a page");
            assert!(page.contains(code.title()) && page.lines().count() > 2, "{page}");
            assert!(all_codes().contains(code.text()));
        }
        for (code, _) in codes::CONFIGURATION {
            assert!(page(Some(code)).is_ok(), "{code}");
        }
    }

    #[test]
    fn every_topic_has_a_page_and_slips_are_told() {
        for topic in TOPICS.iter().chain(&["submit", "why"]) {
            assert!(page(Some(topic)).is_ok_and(|page| !page.is_empty()), "{topic}");
        }
        let wrong = page(Some("exot")).expect_err("no such page");
        assert_eq!(wrong[0].refusal.hints[0].args, ["help", "exit"]);
    }

    #[test]
    fn every_reason_is_explained() {
        use neap_model::reason::Reason;
        let reasons =
            [Reason::Evaluating, Reason::Starting, Reason::Behind { jobs: 1 }, Reason::Hold { by: String::new() }];
        for reason in reasons {
            assert!(REASONS.contains(reason.code()), "{}", reason.code());
        }
    }

    #[test]
    fn the_schema_is_json_and_knows_every_setting() {
        let schema: serde_json::Value = serde_json::from_str(&page(Some("schema")).expect("a page")).expect("JSON");
        assert_eq!(schema["properties"]["time"]["properties"]["finish_by"]["type"], "string");
        assert_eq!(schema["additionalProperties"], false);
    }
}
