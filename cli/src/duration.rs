//! Times, as an operator writes them: `500ms`, `10s`, `2m`, `1h30m`.

use std::time::Duration;

/// The units, the largest first, in milliseconds.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

const EXPECTED: &str = "expected a time with its unit (ms, s, m, h or d), as in 500ms, 10s, 2m or 1h30m";

/// Reads a time: whole numbers, each with its unit, the larger units first and none twice.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let mut total_ms = Some(0_u64);
    let (mut rest, mut units) = (text, UNITS.as_slice());
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let (number, after) = rest.split_at(digits);
        let letters = after.bytes().take_while(u8::is_ascii_alphabetic).count();
        let (unit, next) = after.split_at(letters);
        let place = units.iter().position(|(name, _)| *name == unit).ok_or(EXPECTED)?;
        let factor = units.get(place).map_or(0, |(_, factor)| *factor);
        if digits == 0 {
            return Err(EXPECTED.to_owned());
        }
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
        total_ms = total_ms.zip(part).and_then(|(total, part)| total.checked_add(part));
        (rest, units) = (next, units.get(place + 1..).unwrap_or_default());
    }
    match total_ms {
        None => Err(format!("too long; {EXPECTED}")),
        Some(0) => Err(format!("a time must be longer than nothing; {EXPECTED}")),
        Some(total) => Ok(Duration::from_millis(total)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_units() {
        for (text, ms) in [
            ("1ms", 1),
            ("500ms", 500),
            ("10s", 10_000),
            ("2m", 120_000),
            ("1h30m", 5_400_000),
            ("1d1h1m1s1ms", 90_061_001),
            ("0h5s", 5000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn anything_else_says_what_is_expected() {
        let wrong = [
            "",
            "0s",
            "10",
            "s",
            "-1s",
            "1.5s",
            "1 s",
            "10sec",
            "10S",
            "5s1m",
            "5s5s",
            "5s5",
            "1mss",
            "1e3s",
            "99999999999999999999s",
            "18446744073709551615d",
            "10s!",
            "١s",
        ];
        for text in wrong {
            let error = parse_duration(text);
            assert!(error.as_ref().is_err_and(|error| error.contains("500ms, 10s, 2m")), "{text}: {error:?}");
        }
    }
}
