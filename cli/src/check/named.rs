//! Whether a file lets the guest reach what a name leads to.

use anyhow::Result;
use wasock::{Grant, Use};

use super::{Wish, WishVerb, builder, by, first, is_denial, is_rule};
use crate::config::{Config, ConfigValue};
use crate::report::Lines;

/// Says whether the file lets the guest reach `name` at `port`, and which line decides. Nothing
/// is looked up, so it says which addresses are granted rather than what they are.
pub(super) fn explain(
    lines: &mut Lines,
    config: &Config,
    wish: &Wish,
    name: &str,
    port: u16,
) -> Result<bool> {
    let key = if matches!(wish.verb, WishVerb::UdpSend) { "udp-send" } else { "connect" };
    let rules: Vec<&ConfigValue> = config.values.iter().filter(|value| is_rule(value)).collect();
    let resolves =
        |rules: &[&ConfigValue]| Ok::<_, anyhow::Error>(builder(rules)?.allows(Use::Resolve(name)));
    let granted = grants(&rules, key, |grant| grant.covers_name(name, port));
    let text = match granted {
        Some(line) if resolves(&rules)? => {
            let which = if line.argument.contains('@') {
                "its addresses in that network"
            } else {
                "its public addresses"
            };
            let denied = if has_denials(&rules, key) { ", but for those that are denied" } else { "" };
            lines.line(format_args!(
                "{}: allowed by {}: {which}, as the host finds them when they are used{denied}",
                wish.text,
                by(line)
            ));
            return Ok(true);
        }
        Some(line) => match first(&rules, |rule| Ok(!resolves(&[line, rule])?))? {
            Some(rule) => format!("refused by {}", by(rule)),
            None => "refused by several lines together".to_owned(),
        },
        None => format!("refused: no line grants that name; {} would", wish.key()),
    };
    lines.line(format_args!("{}: {text}", wish.text));
    Ok(false)
}

/// The first line with this key whose grant is so.
fn grants<'a>(
    rules: &[&'a ConfigValue],
    key: &str,
    is_so: impl Fn(&Grant) -> bool,
) -> Option<&'a ConfigValue> {
    let grant = |rule: &ConfigValue| {
        let (_, value) = rule.argument.split_once('=')?;
        Grant::for_connecting(value).ok()
    };
    rules.iter().copied().find(|rule| rule.key == key && grant(rule).is_some_and(|grant| is_so(&grant)))
}

/// Is any address denied to this verb?
fn has_denials(rules: &[&ConfigValue], key: &str) -> bool {
    let own = format!("deny-{key}");
    rules.iter().any(|rule| is_denial(rule) && (rule.key == "deny" || rule.key == own))
}
