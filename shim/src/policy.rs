//! What the guest may do: what the operator says, or what a container may do by itself.
//!
//! The namespaces of the pod are the outer wall, and this is the inner one.

use std::path::{Path, PathBuf};

use wasock_cli::ContainedRun;

/// The file that says it, of the image or mounted.
const FILE: &str = "/etc/wasock/service.toml";

/// The variable that says it in the place of the file: its text, or the path of another file.
const VARIABLE: &str = "WASOCK_CONFIG";

/// Where nobody says anything: to listen anywhere in the pod's network, over TCP, UDP and Unix sockets, and to connect
/// nowhere. Who may reach a pod is what the cluster decides for each pod; where a program of the pod connects it mostly
/// does not, and that is how one that was taken over gets further.
const BY_ITSELF: [&str; 3] = ["--listen=*:*", "--listen=unix:*", "--udp-bind=*:*"];

/// What each container has, unless its configuration says otherwise. The first signal to end has the connections end,
/// within the 30 seconds that Kubernetes leaves by itself. The namespaces are a second wall, and what is compiled is
/// kept by containerd.
const FOR_ALL: [&str; 3] = ["--drain-timeout=25s", "--no-landlock", "--no-cache"];

/// Where the configuration of a container is.
pub(crate) enum Configuration {
    /// In a file, which the guest is not to change.
    File(PathBuf),
    /// In the variable.
    Text(String),
    None,
}

impl Configuration {
    /// What the variables of the container, as `NAME=VALUE`, and its files say.
    pub(crate) fn find(variables: &[String]) -> Self {
        let of_variable =
            |variable: &String| Some(variable.strip_prefix(VARIABLE)?.strip_prefix('=')?.to_owned());
        // An empty one is as none.
        match variables.iter().find_map(of_variable).filter(|value| !value.trim().is_empty()) {
            // No text begins so.
            Some(path) if path.starts_with('/') => Self::File(path.into()),
            Some(text) => Self::Text(text),
            // One that is there and can't be read is a mistake.
            None if Path::new(FILE).symlink_metadata().is_ok() => Self::File(FILE.into()),
            None => Self::None,
        }
    }

    /// The file, or where one would be.
    pub(crate) fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Text(_) | Self::None => FILE.as_ref(),
        }
    }

    /// Has `run` keep to it.
    pub(crate) fn apply(self, run: ContainedRun) -> ContainedRun {
        let run = FOR_ALL.into_iter().fold(run, ContainedRun::default_flag);
        match self {
            Self::File(path) => run.config_file(&path).keys_in(&path.display().to_string()),
            Self::Text(text) => run.config_text(VARIABLE, text).keys_in(VARIABLE),
            Self::None => {
                let run = BY_ITSELF.into_iter().fold(run, ContainedRun::default_flag);
                run.keys_in(&format!("{FILE} or {VARIABLE}"))
            }
        }
    }
}

/// Is this variable about the host, and not for the guest?
pub(crate) fn is_of_host(name: &str) -> bool {
    name == VARIABLE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(variables: &[&str]) -> String {
        let variables: Vec<_> = variables.iter().copied().map(str::to_owned).collect();
        match Configuration::find(&variables) {
            Configuration::File(path) => format!("file {}", path.display()),
            Configuration::Text(text) => format!("text {text}"),
            Configuration::None => "none".to_owned(),
        }
    }

    #[test]
    fn a_variable_has_a_path_or_the_text() {
        assert_eq!(found(&["A=1", "WASOCK_CONFIG=/srv/web.toml"]), "file /srv/web.toml");
        assert_eq!(
            found(&["WASOCK_CONFIG=listen = [\":80\"]\nmax-fds=9"]),
            "text listen = [\":80\"]\nmax-fds=9"
        );
        // This machine has no such file.
        for none in [&["WASOCK_CONFIG="][..], &["WASOCK_CONFIGS=x"], &["X_WASOCK_CONFIG=/x"], &[]] {
            assert_eq!(found(none), "none", "{none:?}");
        }
    }
}
