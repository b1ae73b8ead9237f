//! The second wall: what this process may open, bind and connect to at all, held by the kernel
//! (Landlock) in case that the first one, the policy, has a hole.
//!
//! It binds the thread that raises it and the threads that this one starts, so it is raised before
//! any other. What it allows is fixed then: a reload that would need [more](lacks) is refused.

mod plan;
mod ports;
#[cfg(test)]
mod tests;

use std::fmt::Display;
use std::fs;
use std::os::unix::fs::FileTypeExt as _;
use std::path::Path;
use std::sync::OnceLock;

use anyhow::Result;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, LandlockStatus, NetPort,
    RestrictionStatus, Ruleset, RulesetAttr as _, RulesetCreated, RulesetCreatedAttr as _, Scope,
    path_beneath_rules,
};

use crate::args::RunArgs;
use crate::report::say;
use crate::start;
pub(crate) use plan::Plan;

/// What is asked of the kernel, where it has that: newer kernels may hold more, which is not tested.
const NEWEST: ABI = ABI::V7;

/// What stands since the start of this process.
static STANDING: OnceLock<Standing> = OnceLock::new();

/// A wall that stands, or why there is none.
struct Standing {
    /// What it allows; `None` where there is no wall.
    plan: Option<Plan>,
    text: String,
}

/// Raises the wall for what `args` grant, unless they say that there is to be none. Where the kernel
/// has no Landlock, or an older one, the run goes on with what there is.
pub(crate) fn raise(args: &RunArgs) {
    let standing = if args.no_landlock {
        Standing { plan: None, text: "none (--no-landlock)".to_owned() }
    } else {
        built(Plan::of(args))
    };
    tracing::info!("wall: {}", standing.text);
    _ = STANDING.set(standing);
}

fn built(plan: Plan) -> Standing {
    let none = |why: &dyn Display| Standing { plan: None, text: format!("none ({why})") };
    // It would hold this one alone.
    if start::threads() > 1 {
        say!("wasock: no second wall (Landlock): other threads run already");
        return none(&"other threads run already");
    }
    plan.prepare();
    match enforce(&plan) {
        Ok(status) => match parts(&plan, &status) {
            Some(text) => Standing { plan: Some(plan), text: format!("landlock: {text}") },
            None => none(&"the kernel has no Landlock"),
        },
        Err(error) => {
            say!("wasock: no second wall (Landlock): {error}");
            none(&error)
        }
    }
}

/// Has the kernel hold this thread, and those that it starts, to `plan`.
fn enforce(plan: &Plan) -> Result<RestrictionStatus> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .scope(Scope::Signal)?;
    if !plan.has_abstract_peer() {
        ruleset = ruleset.scope(Scope::AbstractUnixSocket)?;
    }
    for access in [
        plan.binds.as_ref().map(|_| AccessNet::BindTcp),
        plan.connects.as_ref().map(|_| AccessNet::ConnectTcp),
    ]
    .into_iter()
    .flatten()
    {
        ruleset = ruleset.handle_access(access)?;
    }
    // A pipe of a shell's, by which a module may come, is in no file system and needs no rule.
    // One that has a name there gets its rule, and is refused for what it is.
    let is_passed = |path: &Path| path.starts_with("/dev") || path.starts_with("/proc");
    let is_pipe =
        |path: &Path| is_passed(path) && fs::metadata(path).is_ok_and(|file| file.file_type().is_fifo());
    let mut paths = plan.paths.iter().filter(|(path, _)| !is_pipe(path));
    let created = paths.try_fold(ruleset.create()?, |created, (path, access)| {
        created.add_rules(path_beneath_rules([path], access.rights()))
    })?;
    let created = allow(created, plan.binds.iter().flatten(), AccessNet::BindTcp)?;
    let created = allow(created, plan.connects.iter().flatten(), AccessNet::ConnectTcp)?;
    Ok(created.restrict_self()?)
}

fn allow<'a>(
    created: RulesetCreated,
    ports: impl Iterator<Item = &'a u16>,
    access: AccessNet,
) -> Result<RulesetCreated> {
    let mut ports = ports.copied();
    Ok(ports.try_fold(created, |created, port| created.add_rule(NetPort::new(port, access)))?)
}

/// What the kernel holds of `plan`; `None` for nothing.
fn parts(plan: &Plan, status: &RestrictionStatus) -> Option<String> {
    let LandlockStatus::Available { effective_abi, .. } = status.landlock else { return None };
    let mut parts = vec!["files"];
    if effective_abi >= ABI::V4 {
        parts.extend(plan.binds.is_some().then_some("TCP bind"));
        parts.extend(plan.connects.is_some().then_some("TCP connect"));
    }
    if effective_abi >= ABI::V6 {
        parts.push("signals");
    }
    Some(parts.join(", "))
}

/// Which wall stands, in words: `landlock: files, TCP bind, TCP connect, signals`, or `none` and why.
pub(crate) fn standing() -> &'static str {
    STANDING.get().map_or("none", |standing| &standing.text)
}

/// What the wall does not allow of what `args` need; `None` where it allows all.
pub(crate) fn lacks(args: &RunArgs) -> Option<String> {
    STANDING.get()?.plan.as_ref()?.lacks(&Plan::of(args))
}
