//! Whether a file lets the guest execute something.

use super::{Wish, by};
use crate::args::DirectoryArg;
use crate::config::{Config, ConfigValue};
use crate::report::Lines;

/// Says whether the file lets the guest execute what has this path for it, and which line decides. Whether that is
/// there, and a program, is not looked at.
pub(super) fn explain(lines: &mut Lines, config: &Config, wish: &Wish, path: &str) -> bool {
    let grants = config.values.iter().filter(|value| value.key == "exec");
    let decides =
        grants.filter_map(|value| Some((value, depth(value, path)?))).max_by_key(|(_, depth)| *depth);
    let text = match decides {
        Some((value, _)) => format!("allowed by {}", by(value)),
        None => format!("refused: no line grants it; {} would", wish.key()),
    };
    lines.line(format_args!("{}: {text}", wish.text));
    decides.is_some()
}

/// How long the path of the guest's is that this grants, where it covers `path`.
fn depth(value: &ConfigValue, path: &str) -> Option<usize> {
    let DirectoryArg { host, guest } = value.argument.strip_prefix("--exec=")?.parse().ok()?;
    let parts = |path: &str| path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    let (granted, wanted): (Vec<String>, Vec<String>) = (parts(&guest), parts(path));
    let covers = wanted.starts_with(&granted) && host.is_dir() == (wanted.len() > granted.len());
    covers.then_some(granted.len())
}
