//! `--config`: a file in TOML, in which each flag of `wasock run` is a key.
//!
//! The parser of the command line reads its values, one by one. So a key means what its flag
//! means, and a new flag is a key without more.

mod mistake;

use std::error::Error as _;
use std::ffi::OsString;
use std::ops::Range;
use std::path::Path;

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, CommandFactory as _};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::args::Args;
use crate::report::Lines;
use crate::text_file;
use mistake::{Mistake, Source};

/// Keys that are no flags: the module, and the guest's arguments.
const MODULE: &str = "module";
const ARGUMENTS: &str = "args";

/// Keys of which one stands for both, where it is about defaults: they say together what the guest sees of the files.
const DIRECTORIES: [&str; 2] = ["dir", "dir-ro"];

/// Flags that are no keys.
const NO_KEYS: [&str; 3] = ["config", "help", "version"];

/// How alike a wrong key and a right one are, of 1, for the right one to be suggested.
const ALIKE: f64 = 0.7;

/// How many wrong values are shown at once.
const MOST_SHOWN: usize = 20;

/// What a file says, in its order.
#[derive(Default)]
pub(crate) struct Config {
    pub(crate) values: Vec<ConfigValue>,
    /// The module and the guest's arguments.
    pub(crate) command: Vec<String>,
    /// All keys that it has, those included that turn something off.
    named: Vec<String>,
}

/// Why a file is no configuration.
pub(crate) enum ConfigError {
    Unreadable(String),
    /// What is wrong with it, to be printed.
    Mistakes(Lines),
}

/// One value of a key that is a flag.
pub(crate) struct ConfigValue {
    /// The key.
    pub(crate) key: String,
    /// What the parser calls the flag.
    id: String,
    /// The flag and its value, as on the command line.
    pub(crate) argument: String,
    /// Where it stands: in bytes, the number of the line, and its text.
    span: Range<usize>,
    pub(crate) line: usize,
    pub(crate) text: String,
}

/// A flag.
struct ConfigKey {
    name: String,
    id: String,
    action: ArgAction,
}

impl Config {
    /// Reads the file `path`.
    ///
    /// # Errors
    ///
    /// All that is wrong with it.
    pub(crate) fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = text_file::read(path).map_err(|error| {
            ConfigError::Unreadable(format!("cannot read {}: {error} (--config)", path.display()))
        })?;
        Self::read(&Source::new(path, &text)).map_err(ConfigError::Mistakes)
    }

    /// Reads `text`; `name` stands for a file's in messages.
    ///
    /// # Errors
    ///
    /// All that is wrong with it.
    pub(crate) fn of_text(name: &Path, text: &str) -> Result<Self, ConfigError> {
        Self::read(&Source::new(name, text)).map_err(ConfigError::Mistakes)
    }

    /// With these flags besides, each of the form `--key=value`, where it does not have their keys.
    pub(crate) fn with_defaults(mut self, flags: &[String]) -> Self {
        let keys = keys();
        for flag in flags {
            let name = flag.trim_start_matches("--").split('=').next().unwrap_or_default();
            if self.names(name) {
                continue;
            }
            if let Some(ConfigKey { name, id, .. }) = keys.iter().find(|key| key.name == name) {
                let (key, id, argument) = (name.clone(), id.clone(), flag.clone());
                let (span, line, text) = (0..0, 0, String::new());
                self.values.push(ConfigValue { key, id, argument, span, line, text });
            }
        }
        self
    }

    /// Does it have this key, or one that stands for it?
    fn names(&self, key: &str) -> bool {
        let has = |key: &str| self.named.iter().any(|named| named == key);
        has(key) || (DIRECTORIES.contains(&key) && DIRECTORIES.iter().any(|other| has(other)))
    }

    fn read(source: &Source<'_>) -> Result<Self, Lines> {
        let table = DeTable::parse(source.text).map_err(|error| source.show(vec![Mistake::from(&error)]))?;
        let mut entries: Vec<_> = table.get_ref().iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let keys = keys();
        let mut config = Self::default();
        let (mut module, mut arguments) = (None, Vec::new());
        let mut mistakes = Vec::new();
        for (name, value) in entries {
            config.named.push(name.get_ref().to_string());
            let read = match &**name.get_ref() {
                MODULE => match scalar(value) {
                    Ok(text) if text.is_empty() => {
                        Err(Mistake::new(value.span(), "expected the path of a module"))
                    }
                    read => read.map(|text| module = Some(text)),
                },
                ARGUMENTS => {
                    list(value).map(|texts| arguments.extend(texts.into_iter().map(|(text, _)| text)))
                }
                _ => config.add(&keys, name, value, source),
            };
            mistakes.extend(read.err());
        }
        if module.is_none() && !arguments.is_empty() {
            mistakes.push(Mistake::new(0..0, "`args` are those of a `module`, which is missing"));
        }
        mistakes.extend(config.wrong_values());
        if !mistakes.is_empty() {
            return Err(source.show(mistakes));
        }
        config.command = module.into_iter().chain(arguments).collect();
        Ok(config)
    }

    /// Adds the values of a key that is a flag.
    fn add(
        &mut self,
        keys: &[ConfigKey],
        name: &Spanned<impl AsRef<str>>,
        value: &Spanned<DeValue<'_>>,
        source: &Source<'_>,
    ) -> Result<(), Mistake> {
        let (text, span) = (name.get_ref().as_ref(), name.span());
        let Some(key) = keys.iter().find(|key| key.name == text) else {
            return Err(unknown(keys, text, span));
        };
        for (argument, span) in arguments(key, value)? {
            let (line, text) = source.line(span.start);
            let text = text.trim().to_owned();
            let (key, id) = (key.name.clone(), key.id.clone());
            self.values.push(ConfigValue { key, id, argument, span, line, text });
        }
        Ok(())
    }

    /// The values that the command line does not take.
    fn wrong_values(&self) -> Vec<Mistake> {
        let mut parser = Args::command();
        let mut parse = |values: &[ConfigValue]| {
            let values = values.iter().map(|value| value.argument.as_str());
            parser.try_get_matches_from_mut(["wasock", "run"].into_iter().chain(values).chain(["module"]))
        };
        // Mostly they are good, and it takes its time to ask of one after the other.
        if parse(&self.values).is_ok() {
            return Vec::new();
        }
        let mistake = |value: &ConfigValue| {
            let error = parse(std::slice::from_ref(value)).err()?;
            let reason = error.source().map_or_else(|| crate::reason(&error), ToString::to_string);
            Some(Mistake::new(value.span.clone(), format!("`{}`: {reason}", value.key)))
        };
        self.values.iter().filter_map(mistake).take(MOST_SHOWN).collect()
    }

    /// What the command line makes of all values together, without flags besides.
    ///
    /// # Errors
    ///
    /// Where one excludes another one, or needs one that is missing.
    pub(crate) fn check_together(&self) -> Result<Args, clap::Error> {
        let values = self.values.iter().map(|value| value.argument.as_str());
        let words = ["wasock", "run"].into_iter().chain(values).chain(["module"]);
        Args::read(words.map(OsString::from))
    }

    /// The command line with what the file adds to it: a flag that is given there takes the place of
    /// its key, but for those that deny, which add up.
    pub(crate) fn combined(&self, given: &[OsString], matches: &ArgMatches) -> Vec<OsString> {
        let is_given = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        let counts = |value: &&ConfigValue| !is_given(&value.id) || value.key.starts_with("deny");
        let values = self.values.iter().filter(counts).map(|value| OsString::from(&value.argument));
        let (start, rest) = given.split_at_checked(2).unwrap_or((given, &[]));
        let mut all: Vec<OsString> =
            start.iter().cloned().chain(values).chain(rest.iter().cloned()).collect();
        if !is_given("command") {
            if rest.last().is_none_or(|last| last != "--") {
                all.push("--".into());
            }
            all.extend(self.command.iter().map(OsString::from));
        }
        all
    }
}

/// The flags that may be keys.
fn keys() -> Vec<ConfigKey> {
    let command = Args::command();
    let run = command.find_subcommand("run");
    let flags = run.into_iter().flat_map(|run| run.get_arguments());
    let key = |flag: &clap::Arg| {
        let name = flag.get_long().filter(|name| !NO_KEYS.contains(name))?.to_owned();
        Some(ConfigKey { name, id: flag.get_id().to_string(), action: flag.get_action().clone() })
    };
    flags.filter_map(key).collect()
}

fn unknown(keys: &[ConfigKey], text: &str, span: Range<usize>) -> Mistake {
    let names = keys.iter().map(|key| key.name.as_str()).chain([MODULE, ARGUMENTS]);
    let alike = names.map(|name| (strsim::jaro(text, name), name)).filter(|(alike, _)| *alike > ALIKE);
    let nearest = alike.max_by(|(one, _), (other, _)| one.total_cmp(other));
    let hint = nearest.map_or_else(
        || "each flag of `wasock run` is a key".to_owned(),
        |(_, name)| format!("did you mean `{name}`?"),
    );
    Mistake::new(span, format!("unknown key `{text}`; {hint}"))
}

/// The values of a key as arguments, and where each of them stands.
fn arguments(key: &ConfigKey, value: &Spanned<DeValue<'_>>) -> Result<Vec<(String, Range<usize>)>, Mistake> {
    let flag = format!("--{}", key.name);
    let with = |text: String| format!("{flag}={text}");
    match (&key.action, value.get_ref()) {
        (ArgAction::SetTrue, DeValue::Boolean(true)) => Ok(vec![(flag, value.span())]),
        (ArgAction::SetTrue, DeValue::Boolean(false)) => Ok(Vec::new()),
        (ArgAction::SetTrue, _) => Err(Mistake::new(value.span(), "expected true or false")),
        (ArgAction::Count, DeValue::Integer(count)) => match count.to_string().as_str() {
            "0" => Ok(Vec::new()),
            "1" => Ok(vec![(flag, value.span())]),
            "2" => Ok(vec![(flag.clone(), value.span()), (flag, value.span())]),
            _ => Err(Mistake::new(value.span(), "expected 0, 1 or 2")),
        },
        (ArgAction::Count, _) => Err(Mistake::new(value.span(), "expected 0, 1 or 2")),
        // NAME = "VALUE" reads better than "NAME=VALUE".
        (ArgAction::Append, DeValue::Table(table)) if key.name == "env" => {
            let mut variables: Vec<_> = table.iter().collect();
            variables.sort_by_key(|(name, _)| name.span().start);
            let variable = |(name, value): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
                Ok((with(format!("{}={}", name.get_ref(), scalar(value)?)), value.span()))
            };
            variables.into_iter().map(variable).collect()
        }
        (ArgAction::Append, _) => {
            Ok(list(value)?.into_iter().map(|(text, span)| (with(text), span)).collect())
        }
        _ => Ok(vec![(with(scalar(value)?), value.span())]),
    }
}

/// One value, or several in a list.
fn list(value: &Spanned<DeValue<'_>>) -> Result<Vec<(String, Range<usize>)>, Mistake> {
    match value.get_ref() {
        DeValue::Array(values) => values.iter().map(|value| Ok((scalar(value)?, value.span()))).collect(),
        _ => Ok(vec![(scalar(value)?, value.span())]),
    }
}

/// A value as it would be written on the command line.
fn scalar(value: &Spanned<DeValue<'_>>) -> Result<String, Mistake> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Boolean(is_set) => Ok(is_set.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        _ => Err(Mistake::new(value.span(), "expected a text, a number, or true or false")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        match Config::read(&Source::new("s.toml".as_ref(), text)) {
            Ok(config) => {
                let values = config.values.into_iter().map(|value| value.argument);
                Ok(values.chain(config.command).collect())
            }
            Err(lines) => Err(lines.to_string()),
        }
    }

    #[test]
    fn each_flag_is_a_key() {
        let text = r#"
            module = "server.wasm"
            args = ["-x", "y"]
            listen = ["127.0.0.1:80", ":8080"]
            connect = "10.0.0.0/8:443"
            max-fds = 1_000
            max-memory = "1G"
            trace = true
            no-cache = false
            cache = "/var/cache/web"
            verbose = 2
            preopen-nonblocking = true
            [env]
            B = "1"
            A = 2
        "#;
        let expected = [
            "--listen=127.0.0.1:80",
            "--listen=:8080",
            "--connect=10.0.0.0/8:443",
            "--max-fds=1000",
            "--max-memory=1G",
            "--trace",
            "--cache=/var/cache/web",
            "--verbose",
            "--verbose",
            "--preopen-nonblocking=true",
            "--env=B=1",
            "--env=A=2",
            "server.wasm",
            "-x",
            "y",
        ];
        assert_eq!(read(text), Ok(expected.map(str::to_owned).to_vec()));
        assert!(keys().len() > 40);
    }

    #[test]
    fn a_mistake_is_shown_with_its_line_and_what_was_meant() {
        for (text, expected) in [
            (
                "# one\nlisen = [\"127.0.0.1:80\"]\n",
                "wasock: s.toml:2: unknown key `lisen`; did you mean `listen`?\n  2 | lisen = [\"127.0.0.1:80\"]\n    | ^^^^^\n",
            ),
            (
                "max-fds = \"many\"",
                "wasock: s.toml:1: `max-fds`: invalid digit found in string\n  1 | max-fds = \"many\"\n    |           ^^^^^^\n",
            ),
            ("trace = 1", "wasock: s.toml:1: expected true or false\n  1 | trace = 1\n    |         ^\n"),
            (
                "zzz = 1",
                "wasock: s.toml:1: unknown key `zzz`; each flag of `wasock run` is a key\n  1 | zzz = 1\n    | ^^^\n",
            ),
        ] {
            assert_eq!(read(text), Err(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn all_mistakes_are_shown() {
        let found = read(
            "connect = [\"a\", \"b\"]\nlisten = 1.5\nconfig = \"x\"\ntrace = \"yes\"\nverbose = 3\nargs = []",
        );
        let found = found.err().unwrap_or_default();
        assert_eq!(found.matches("wasock: s.toml:").count(), 6, "{found}");
        assert!(found.contains("s.toml:3: unknown key `config`"), "{found}");
    }

    #[test]
    fn a_long_line_is_shown_around_its_mistake() {
        let values = vec!["\"127.0.0.1:80\""; 500].join(", ");
        let found = read(&format!("listen = [{values}, 1.5]")).err().unwrap_or_default();
        let mut lines = found.lines();
        assert_eq!(lines.next(), Some("wasock: s.toml:1: expected a text, a number, or true or false"));
        let (shown, marks) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        assert!(shown.len() < 120 && marks.ends_with("^^^"), "{found}");
        assert_eq!(marks.find('^'), shown.find("1.5"));
        // All of them are read at once.
        assert_eq!(read(&format!("listen = [{values}]")).map(|values| values.len()), Ok(500));
    }

    #[test]
    fn a_file_that_is_no_toml_is_a_mistake() {
        let found = read("listen = [\"a\"\nmax-fds 3").err().unwrap_or_default();
        assert!(found.starts_with("wasock: s.toml:"), "{found}");
        assert!(read("listen = 1\nlisten = 2").is_err());
        assert!(read("args = [\"x\"]").is_err_and(|found| found.contains("which is missing")));
        assert_eq!(read(""), Ok(Vec::new()));
    }

    fn combined(file: &str, given: &[&str]) -> Result<Vec<String>, String> {
        combined_with(file, &[], given)
    }

    fn combined_with(file: &str, defaults: &[&str], given: &[&str]) -> Result<Vec<String>, String> {
        let config =
            Config::read(&Source::new("s.toml".as_ref(), file)).map_err(|lines| lines.to_string())?;
        let defaults: Vec<String> = defaults.iter().copied().map(str::to_owned).collect();
        let config = config.with_defaults(&defaults);
        let given: Vec<OsString> = given.iter().map(OsString::from).collect();
        let matches = Args::command().try_get_matches_from(&given).map_err(|error| error.to_string())?;
        let matches = matches.subcommand_matches("run").ok_or("no run")?;
        let all = config.combined(&given, matches);
        Ok(all.into_iter().map(|argument| argument.to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn a_flag_takes_the_place_of_its_key_and_denials_add_up() {
        let file =
            "module = \"m\"\nargs = [\"a\"]\nlisten = [\"1\", \"2\"]\nmax-fds = 9\ndeny = \"10.0.0.1:*\"";
        let found = combined(file, &["wasock", "run", "--config=s", "--listen=3", "--deny=10.0.0.2:*"]);
        let expected = [
            "wasock",
            "run",
            "--max-fds=9",
            "--deny=10.0.0.1:*",
            "--config=s",
            "--listen=3",
            "--deny=10.0.0.2:*",
            "--",
            "m",
            "a",
        ];
        assert_eq!(found, Ok(expected.map(str::to_owned).to_vec()));
        let found = combined(file, &["wasock", "run", "--config=s", "--max-fds=1", "other", "b"]);
        let expected = [
            "wasock",
            "run",
            "--listen=1",
            "--listen=2",
            "--deny=10.0.0.1:*",
            "--config=s",
            "--max-fds=1",
            "other",
            "b",
        ];
        assert_eq!(found, Ok(expected.map(str::to_owned).to_vec()));
    }

    #[test]
    fn a_default_counts_where_the_file_does_not_have_its_key() {
        let defaults = ["--listen=:1", "--listen=:2", "--dir-ro=/", "--no-cache", "--max-memory=1M"];
        let given = ["wasock", "run", "--", "m"];
        let found = |file| combined_with(file, &defaults, &given).map(|words| words.join(" "));
        let all = "wasock run --listen=:1 --listen=:2 --dir-ro=/ --no-cache --max-memory=1M -- m";
        assert_eq!(found("").as_deref(), Ok(all));
        let own = "listen = [\"3\"]\ndir = \"/data\"\nno-cache = false";
        assert_eq!(found(own).as_deref(), Ok("wasock run --listen=3 --dir=/data --max-memory=1M -- m"));
        assert_eq!(
            found("listen = []\ndir = []").as_deref(),
            Ok("wasock run --no-cache --max-memory=1M -- m")
        );
    }
}
