//! The tool: understands what was typed, does it, and leaves with a code that can be relied on.

#![recursion_limit = "256"] // one JSON object has many fields

mod args;
mod client;
mod commands;
mod config;
mod demo;
mod diagnostic;
mod embedded;
mod help;
mod jobfile;
mod output;
mod render;
mod session;
mod simulate;

use args::{Common, Instead, Invocation, Verb};
use commands::{Left, daemons, follow, jobs, node, policy, site, submit};
use diagnostic::{Problem, exit_of};
use neap_executor::kernels;
use neap_model::refusal::{Code, Refusal};
use session::{Problems, Session, problem};
use std::collections::BTreeMap;
use std::process::ExitCode;

/// Added to our own failures by verbs that pass a job's code on.
const OWN: u8 = 110;

fn main() -> ExitCode {
    std::panic::set_hook(Box::new(|info| {
        let refusal = Refusal::new(Code::Internal, format!("a fault in Neap: {info}"))
            .note(format!("version {}; please report this line and what was typed", env!("CARGO_PKG_VERSION")));
        let manner = diagnostic::Manner { json: false, unicode: true, colour: false };
        output::raw(&diagnostic::render(&[refusal.into()], manner, 1));
    }));
    let environment: BTreeMap<String, String> =
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect();
    let invocation = match args::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(Instead::Print(text)) => {
            output::out(&text);
            return ExitCode::SUCCESS;
        }
        Err(Instead::Wrong(problems)) => return ExitCode::from(mistyped(&problems, environment)),
    };
    let Invocation { verb, common } = invocation;
    if let Verb::Guard(dir) = &verb {
        return ExitCode::from(neap_executor::guard::main(dir));
    }
    let session = match Session::new(common, environment) {
        Ok(session) => session,
        Err(problems) => return ExitCode::from(tell(&problems, None)),
    };
    let own = if matches!(verb, Verb::Run { .. } | Verb::Wait { .. }) { OWN } else { 0 };
    let left = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| act(&session, verb)));
    ExitCode::from(match left {
        Ok(Ok(code)) => code,
        Ok(Err(problems)) => tell(&problems, Some((&session, own))),
        Err(_) => 1 + own,
    })
}

/// What was typed is no command: errors go out in the format that seems to be wanted.
fn mistyped(problems: &Problems, environment: BTreeMap<String, String>) -> u8 {
    let words: Vec<String> = std::env::args().collect();
    let json = words.windows(2).any(|pair| pair[0] == "-o" && pair[1].starts_with("json"))
        || words.iter().any(|word| word == "-ojson" || word == "--format=json");
    let common = Common { format: json.then_some(args::Format::Json), ..Common::default() };
    let own = if words.get(1).is_some_and(|verb| verb == "run" || verb == "wait") { OWN } else { 0 };
    let session = Session::new(common, environment).ok();
    tell(problems, session.as_ref().map(|session| (session, own)))
}

/// Prints what is wrong and gives the exit code.
fn tell(problems: &[Problem], of: Option<(&Session, u8)>) -> u8 {
    let plain = diagnostic::Manner { json: false, unicode: false, colour: false };
    let (manner, own) = of.map_or((plain, 0), |(session, own)| (session.manner(), own));
    let exit = exit_of(problems) + own;
    output::raw(&diagnostic::render(problems, manner, exit));
    exit
}

fn act(session: &Session, verb: Verb) -> Left {
    match verb {
        Verb::Train(options) => workload(kernels::train(&options, &mut std::io::stdout())),
        Verb::Infer(options) => workload(kernels::infer(&options, &mut std::io::stdout())),
        Verb::Simulate(args) => commands::simulate::simulate(session, &args),
        Verb::Demo { seed, days } => commands::demo::demo(session, seed, days),
        Verb::Powerd { file, restore_all, check } => node::powerd(file, restore_all, check),
        Verb::PolicyCheck(file) => policy::check(session, file.as_deref()),
        Verb::Doctor { strict, gpu, nvml_lib } => node::doctor(session, strict, gpu, nvml_lib),
        Verb::Completion(shell) => {
            output::bytes(&args::completion(&shell));
            Ok(0)
        }
        Verb::Man(verb) => match args::man(verb.as_deref()) {
            Some(page) => {
                output::bytes(&page);
                Ok(0)
            }
            None => Err(help::unknown(&verb.unwrap_or_default())),
        },
        Verb::Help(topic) => {
            output::out(&session.style.draw(help::page(topic.as_deref())?));
            Ok(0)
        }
        Verb::Serve { .. } | Verb::Executor { .. } => {
            in_runtime(tokio::runtime::Builder::new_multi_thread(), session, verb)
        }
        verb => in_runtime(tokio::runtime::Builder::new_current_thread(), session, verb),
    }
}

fn in_runtime(mut builder: tokio::runtime::Builder, session: &Session, verb: Verb) -> Left {
    let runtime = builder.enable_all().build();
    let runtime = runtime.map_err(|error| problem(Refusal::new(Code::Internal, format!("cannot start: {error}"))))?;
    let left = runtime.block_on(ask(session, verb));
    // A read of the terminal that nobody waits for any more must not keep us.
    runtime.shutdown_background();
    left
}

async fn ask(session: &Session, verb: Verb) -> Left {
    match verb {
        Verb::Submit(job) => submit::submit(session, &job).await,
        Verb::Run { job, embedded } => submit::run(session, &job, embedded).await,
        Verb::Plan { job, accept } => submit::plan(session, &job, accept).await,
        Verb::List(list) => jobs::ls(session, &list).await,
        Verb::Show(which) => jobs::show(session, &which).await,
        Verb::Why { which, history } => jobs::why(session, &which, history).await,
        Verb::Logs { which, follow, tail } => follow::logs(session, &which, follow, tail).await,
        Verb::Wait { which, timeout, any } => follow::wait(session, &which, timeout.as_deref(), any).await,
        Verb::Now { which, reason } => jobs::now(session, &which, reason).await,
        Verb::Hold(which) => jobs::hold(session, &which).await,
        Verb::Release(which) => jobs::release(session, &which).await,
        Verb::Edit { which, job } => jobs::edit(session, &which, &job).await,
        Verb::Cancel { which, reason, if_exists } => jobs::cancel(session, &which, reason, if_exists).await,
        Verb::Carbon { zones, factors } => site::carbon(session, &zones, factors).await,
        Verb::Report(args) => site::report(session, &args).await,
        Verb::Status => site::status(session).await,
        Verb::PolicyEvent(args) => policy::event(session, &args).await,
        Verb::NodeCap(args) => policy::node_cap(session, &args).await,
        Verb::Serve { check, dev } => daemons::serve(session, check, dev).await,
        Verb::Executor { check, nvml_lib } => daemons::executor(session, check, nvml_lib).await,
        Verb::Doctor { .. }
        | Verb::PolicyCheck(_)
        | Verb::Powerd { .. }
        | Verb::Simulate(_)
        | Verb::Demo { .. }
        | Verb::Completion(_)
        | Verb::Man(_)
        | Verb::Help(_)
        | Verb::Train(_)
        | Verb::Infer(_)
        | Verb::Guard(_) => Ok(0),
    }
}

/// A built-in workload's exit code, or what went wrong with it.
fn workload(ended: Result<u8, kernels::KernelError>) -> Left {
    ended.map_err(|error| problem(Refusal::new(Code::BadValue, embedded::chain(&error))))
}
