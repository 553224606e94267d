//! Changing a job that waits: what is said anew replaces what was said before, everything else stays.

use super::draft::{Draft, Origin, Surroundings};
use super::settings::Setting;
use crate::diagnostic::Problem;
use neap_model::job::{JobSpec, Objective};
use neap_model::refusal::{Code, Refusal};

/// The specification with these flags applied.
///
/// # Errors
/// What is wrong with the flags.
pub fn changed(
    mut spec: JobSpec,
    flags: &[(&'static Setting, Vec<String>)],
    around: &Surroundings,
) -> Result<JobSpec, Vec<Problem>> {
    let mut draft = Draft::default();
    draft.command.clone_from(&spec.task.command);
    draft.script.clone_from(&spec.task.script);
    for (setting, texts) in flags {
        draft.say(setting, texts.clone(), Origin::Flag);
    }
    let anew = draft.build(around)?;
    let had_promise = spec.time.finish_by.is_some();
    let says = |flag: &str| flags.iter().any(|(setting, _)| setting.flag == flag);
    for (setting, _) in flags {
        match setting.flag {
            "name" => spec.name.clone_from(&anew.name),
            "project" => spec.project.clone_from(&anew.project),
            "queue" => spec.queue.clone_from(&anew.queue),
            "gpus" => {
                (spec.resources.gpus, spec.resources.gpus_up_to) = (anew.resources.gpus, anew.resources.gpus_up_to);
            }
            "gpu-model" => spec.resources.gpu_model.clone_from(&anew.resources.gpu_model),
            "nodes" => spec.resources.nodes = anew.resources.nodes,
            "cpus" => spec.resources.cpus = anew.resources.cpus,
            "mem" => spec.resources.memory = anew.resources.memory,
            "launch" => spec.launch = anew.launch,
            "time" => spec.time.limit = anew.time.limit,
            "expect" => spec.time.expect = anew.time.expect,
            "finish-by" => spec.time.finish_by = anew.time.finish_by,
            "start-by" => spec.time.start_by = anew.time.start_by,
            "on-expire" => spec.time.on_expire = anew.time.on_expire,
            "not-before" => spec.time.not_before = anew.time.not_before,
            "after" => spec.after.clone_from(&anew.after),
            "delay" => spec.flex.delay = anew.flex.delay,
            "max-delay" => spec.flex.max_delay = anew.flex.max_delay,
            "min-saving" => spec.flex.min_saving = anew.flex.min_saving,
            "slowdown" => spec.flex.slowdown = anew.flex.slowdown,
            "zones" => spec.flex.zones.clone_from(&anew.flex.zones),
            "pause" => spec.flex.pause.clone_from(&anew.flex.pause),
            "functional-unit" => spec.functional_unit.clone_from(&anew.functional_unit),
            "retry" => spec.retry = anew.retry,
            "env" => spec.task.env.extend(anew.task.env.clone()),
            "workdir" => spec.task.workdir.clone_from(&anew.task.workdir),
            "output" => spec.task.output.clone_from(&anew.task.output),
            other => {
                let refusal = Refusal::new(Code::BadValue, format!("--{other} cannot be changed by `edit`"));
                return Err(vec![refusal.hint("there are verbs for it: hold, release", &[]).into()]);
            }
        }
    }
    if says("finish-by") && !says("delay") && !had_promise && spec.flex.delay == Some(Objective::None) {
        // A promise brings its consent with it, as at submission; `none` may have been the queue's word only.
        spec.flex.delay = None;
    }
    Ok(spec)
}
