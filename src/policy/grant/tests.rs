//! Grants as they are read, and what they cover.

use super::*;
use crate::address::UnixName;

#[test]
fn every_documented_form_is_read() {
    for text in [
        "127.0.0.1:8080",
        "10.0.0.0/8:*",
        "[::1]:80-90",
        "*:443",
        "*:*",
        "[fd00::]/8:1",
        "[fd00::/8]:1",
        "unix:/run/app.sock",
        "unix:/run/*",
        "unix:*",
    ] {
        assert!(text.parse::<Grant>().is_ok(), "{text}");
    }
}

#[test]
fn what_is_no_grant_is_refused() {
    for text in [
        "",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "1.2.3:80",
        "::1:80",
        "[::1]",
        "[::1:80",
        "localhost:80",
        "10.0.0.0/33:1",
        "*:9-8",
        "*",
        "unix:",
        "unix:/run/",
    ] {
        assert!(text.parse::<Grant>().is_err(), "{text}");
    }
}

#[test]
fn covers_its_own_kind_of_address() -> Result<(), Box<dyn std::error::Error>> {
    let inet = Address::Inet("127.0.0.1:80".parse()?);
    let unix = Address::Unix(UnixName::new("/run/a"));
    for (grant, covers) in [("*:80", [true, false]), ("unix:*", [false, true])] {
        let grant: Grant = grant.parse()?;
        assert_eq!([grant.covers(&inet), grant.covers(&unix)], covers, "{grant:?}");
    }
    let nameless = Address::Unix(UnixName::unnamed());
    assert!(!"unix:*".parse::<Grant>()?.covers(&nameless));
    Ok(())
}

#[test]
fn names_match_as_whole_labels() -> Result<(), ParseError> {
    let below: NamePattern = "*.example.com".parse()?;
    assert!(below.matches("www.example.com"));
    assert!(below.matches("WWW.Example.com."));
    assert!(!below.matches("example.com"));
    assert!(!below.matches("badexample.com"));
    let exact: NamePattern = "example.com".parse()?;
    assert!(exact.matches("EXAMPLE.com"));
    assert!(!exact.matches("www.example.com"));
    assert!("*".parse::<NamePattern>()?.matches("anything"));
    Ok(())
}

#[test]
fn what_is_no_name_is_refused() {
    for text in ["", "*.", "a*b", "a:80", "**"] {
        assert!(text.parse::<NamePattern>().is_err(), "{text}");
    }
}

#[test]
fn a_verb_that_listens_has_shorthands() -> Result<(), ParseError> {
    let listening = |text: &str| Grant::for_listening(text);
    for (text, whole) in [
        (":8080", "*:8080"),
        ("8080", "*:8080"),
        ("8000-8099", "*:8000-8099"),
        (":*", "*:*"),
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("[::1]:80", "[::1]:80"),
        ("unix:/run/a", "unix:/run/a"),
    ] {
        assert_eq!(listening(text)?, whole.parse()?, "{text}");
    }
    let localhost = listening("localhost:80-81")?;
    for (address, is_covered) in
        [("127.0.0.1:80", true), ("[::1]:81", true), ("127.0.0.2:80", false), ("127.0.0.1:82", false)]
    {
        let address = Address::Inet(address.parse().map_err(|_| expected("test"))?);
        assert_eq!(localhost.covers(&address), is_covered, "{address}");
    }
    for text in [
        "",
        ":",
        "80:",
        "localhost",
        "localhost:",
        "127.0.0.1",
        "80a",
        "65536",
        "9-8",
        "*",
        "::1",
        "10.0.0.0/8",
    ] {
        assert!(listening(text).is_err(), "{text}");
        assert!(text.parse::<Grant>().is_err(), "{text}");
    }
    for text in [":443", "443", "localhost:443"] {
        assert!(text.parse::<Grant>().is_err(), "{text}: only a verb that listens has shorthands");
    }
    Ok(())
}

#[test]
fn is_written_as_it_is_read() -> Result<(), ParseError> {
    for text in [
        "127.0.0.1:8080",
        "10.0.0.0/8:*",
        "[::1]:80-90",
        "[fd00::/8]:1",
        "*:443",
        "*:*",
        "unix:/run/app.sock",
        "unix:/run/*",
        "unix:*",
        "localhost:80",
    ] {
        assert_eq!(Grant::for_listening(text)?.to_string(), text);
    }
    Ok(())
}

#[test]
fn a_wildcard_takes_part_of_any_address() -> Result<(), Box<dyn std::error::Error>> {
    for (grant, address, takes_part) in [
        ("127.0.0.1:80", "127.0.0.1:80", true),
        ("127.0.0.1:80", "0.0.0.0:80", true),
        ("127.0.0.1:80", "[::]:80", true),
        ("127.0.0.1:80", "[::ffff:0.0.0.0]:80", true),
        ("127.0.0.1:80", "0.0.0.0:81", false),
        ("[::1]:80", "[::]:80", true),
        ("[::1]:80", "0.0.0.0:80", false),
        ("127.0.0.1:80", "127.0.0.2:80", false),
        ("unix:*", "0.0.0.0:80", false),
    ] {
        assert_eq!(grant.parse::<Grant>()?.takes_part_of(address.parse()?), takes_part, "{grant} {address}");
    }
    Ok(())
}
