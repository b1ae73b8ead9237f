//! Containers that a test starts.

use anyhow::Result;
use guest_tests::{Finished, Running, Wasock};

use crate::host::{Host, Imported, WASOCK, next_number};
use crate::network::Network;

/// `ctr run`, still to be started.
pub(crate) struct Run<'a> {
    host: &'a Host,
    image: &'a Imported,
    id: String,
    runtime: String,
    flags: Vec<String>,
    args: Vec<String>,
}

impl Host {
    /// A container of `image` by the shim under test.
    pub(crate) fn run<'a>(&'a self, image: &'a Imported) -> Run<'a> {
        Run {
            host: self,
            image,
            id: format!("test-{}-{}", std::process::id(), next_number()),
            runtime: WASOCK.to_owned(),
            flags: Vec::new(),
            args: Vec::new(),
        }
    }
}

impl Run<'_> {
    pub(crate) fn runtime(mut self, runtime: &str) -> Self {
        runtime.clone_into(&mut self.runtime);
        self
    }

    /// A flag of `ctr run`, and its values.
    pub(crate) fn flags(mut self, flags: &[&str]) -> Self {
        self.flags.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self
    }

    /// Arguments of the program.
    pub(crate) fn args(mut self, args: &[&str]) -> Self {
        self.args.extend(args.iter().map(|arg| (*arg).to_owned()));
        self
    }

    /// The name of the container.
    pub(crate) fn id(&self) -> String {
        self.id.clone()
    }

    fn words(&self, way: &[&str]) -> Vec<String> {
        let runtime = ["--runtime", &self.runtime].map(str::to_owned);
        let way = way.iter().map(|word| (*word).to_owned());
        let entrypoint = if self.args.is_empty() { Vec::new() } else { self.image.entrypoint.clone() };
        let command = entrypoint.into_iter().chain(self.args.clone());
        let rest = [self.image.name.clone(), self.id.clone()].into_iter().chain(command);
        ["run".to_owned()]
            .into_iter()
            .chain(way)
            .chain(runtime)
            .chain(self.flags.clone())
            .chain(rest)
            .collect()
    }

    /// Adds the flags that have it in `network`.
    pub(crate) fn in_network(self, network: &Network) -> Self {
        let [flag, value] = network.flags();
        self.flags(&[&flag, &value])
    }

    /// Adds a variable to its environment.
    pub(crate) fn env(self, name: &str, value: &str) -> Self {
        self.flags(&["--env", &format!("{name}={value}")])
    }

    /// Starts it, and goes on with what it prints. `ctr` ends with it, and with its exit code.
    pub(crate) fn start(self) -> Result<Running> {
        self.command(&["--rm"]).start()
    }

    /// The same with a pipe as its standard input.
    pub(crate) fn start_with_stdin(self) -> Result<Running> {
        self.command(&["--rm"]).with_stdin().start()
    }

    /// Runs it to its end.
    pub(crate) fn finish(self) -> Result<Finished> {
        self.command(&["--rm"]).finish()
    }

    /// Starts it, and leaves it alone. Nobody reads what it prints.
    pub(crate) fn detach(self) -> Result<String> {
        self.command(&["--detach", "--null-io"]).finish()?.expect_code(0)?;
        Ok(self.id)
    }

    fn command(&self, way: &[&str]) -> Wasock {
        Wasock::new("ctr")
            .arg("--address")
            .arg(self.host.address())
            .args(["--namespace", self.host.namespace()])
            .args(self.words(way))
    }
}
