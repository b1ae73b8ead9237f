//! A guest of either kind: a module or a component.

use anyhow::{Context, Result};

use crate::case::Case;
use crate::component;
use crate::coverage::Coverage;
use crate::module::Dialect;
use crate::run::{self, Interpreters, Outcome, Surroundings};
use crate::text;

/// Of so many guests one is a component.
const COMPONENT_IN: u64 = 5;

/// A guest.
pub(crate) enum Fuzzed {
    Module(Case),
    Component(component::Case),
}

/// What runs them.
pub(crate) struct Compiled {
    modules: Interpreters,
    component: Option<component::Interpreter>,
}

/// What they have covered.
pub(crate) struct Covered {
    pub(crate) modules: Coverage,
    pub(crate) components: component::Coverage,
}

/// Which guests a run has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Which {
    #[default]
    All,
    Modules,
    Components,
}

impl Which {
    /// The index of guest number `count` of a run.
    pub(crate) fn index(self, count: u64) -> u64 {
        let others = COMPONENT_IN - 1;
        match self {
            Self::All => count,
            Self::Modules => count / others * COMPONENT_IN + count % others,
            Self::Components => count * COMPONENT_IN + others,
        }
    }
}

impl Fuzzed {
    /// Guest `index` of the run with `seed`. The index says which kind it is.
    pub(crate) fn new(seed: u64, index: u64) -> Self {
        match index % COMPONENT_IN == COMPONENT_IN - 1 {
            true => Self::Component(component::Case::new(seed, index)),
            false => Self::Module(Case::new(seed, index)),
        }
    }

    pub(crate) fn index(&self) -> u64 {
        match self {
            Self::Module(case) => case.index,
            Self::Component(case) => case.index,
        }
    }

    /// The command that makes this guest again.
    pub(crate) fn command(&self) -> String {
        match self {
            Self::Module(case) => case.command(),
            Self::Component(case) => case.command(),
        }
    }

    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Module(case) => format!("{:?} {:?} {:?}", case.dialect, case.way, case.terms),
            Self::Component(case) => case.describe(),
        }
    }

    pub(crate) fn has_peers(&self) -> bool {
        match self {
            Self::Module(case) => case.terms.has_peers,
            Self::Component(case) => case.terms.has_peers,
        }
    }

    pub(crate) fn op_count(&self) -> usize {
        match self {
            Self::Module(case) => case.op_count(),
            Self::Component(case) => case.op_count(),
        }
    }

    /// The same guest with those operations alone.
    pub(crate) fn keep(&mut self, kept: &[usize]) {
        match self {
            Self::Module(case) => case.keep(kept),
            Self::Component(case) => case.keep(kept),
        }
    }

    /// The guest as a text of its own, with `fault` in a comment.
    pub(crate) fn wat(&self, fault: &str) -> String {
        match self {
            Self::Module(case) => text::wat(case, fault),
            Self::Component(case) => case.wat(fault),
        }
    }
}

impl Compiled {
    /// What runs the guests of a run.
    pub(crate) fn for_all(which: Which) -> Result<Self> {
        let dialects: &[Dialect] = if which == Which::Components { &[] } else { &Dialect::ALL };
        let component = match which {
            Which::Modules => None,
            Which::All | Which::Components => Some(component::Interpreter::compile()?),
        };
        Ok(Self { modules: Interpreters::compile(dialects)?, component })
    }

    /// What runs `guest`.
    pub(crate) fn for_one(guest: &Fuzzed) -> Result<Self> {
        match guest {
            Fuzzed::Module(case) => {
                Ok(Self { modules: Interpreters::compile(&[case.dialect])?, component: None })
            }
            Fuzzed::Component(_) => Self::for_all(Which::Components),
        }
    }

    /// Runs `guest`; what it covered is added to `covered`.
    pub(crate) async fn run(
        &self,
        guest: &Fuzzed,
        here: &Surroundings<'_>,
        covered: &mut Covered,
    ) -> Result<Outcome> {
        match guest {
            Fuzzed::Module(case) => run::run(case, &self.modules, here, &mut covered.modules).await,
            Fuzzed::Component(case) => {
                let interpreter = self.component.as_ref().context("not compiled")?;
                component::run(case, interpreter, here, &mut covered.components).await
            }
        }
    }
}

impl Covered {
    pub(crate) fn new() -> Self {
        Self { modules: Coverage::new(), components: component::Coverage::default() }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.modules.add(&other.modules);
        self.components.add(&other.components);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_one_kind_has_the_guests_of_a_whole_run() {
        for count in 0..40 {
            let is_component =
                |which: Which| matches!(Fuzzed::new(1, which.index(count)), Fuzzed::Component(_));
            assert!(is_component(Which::Components) && !is_component(Which::Modules));
        }
        assert_eq!([0, 3, 4, 7, 8].map(|count| Which::Modules.index(count)), [0, 3, 5, 8, 10]);
    }
}
