//! What the policy decides.

use super::*;
use crate::error::ParseError;

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn listening(grant: &str) -> Result<Policy, ParseError> {
    let mut policy = Policy::default();
    policy.allow_listen(&grant.parse()?);
    Ok(policy)
}

fn may_listen(policy: &Policy, address: &str) -> Result<bool, std::net::AddrParseError> {
    Ok(policy.check(Use::TcpListen(address.parse()?)).is_ok())
}

#[test]
fn nothing_is_granted_by_default() -> TestResult {
    let policy = Policy::default();
    assert!(!may_listen(&policy, "127.0.0.1:0")?);
    assert!(policy.check(Use::TcpConnect("127.0.0.1:1".parse()?)).is_err());
    assert!(policy.check(Use::Resolve("localhost")).is_err());
    Ok(())
}

#[test]
fn anyone_may_connect_until_it_was_narrowed() -> TestResult {
    let mut policy = Policy::default();
    let stranger = Use::TcpAccept("192.0.2.1:5".parse()?);
    assert!(policy.check(stranger).is_ok());
    policy.allow_accept_from("10.0.0.0/8".parse()?);
    assert!(policy.check(stranger).is_err());
    assert!(policy.check(Use::TcpAccept("10.9.9.9:5".parse()?)).is_ok());
    assert!(policy.check(Use::UdpReceive("[::ffff:10.9.9.9]:5".parse()?)).is_ok());
    assert!(policy.check(Use::UdpReceive("[::ffff:192.0.2.1]:5".parse()?)).is_err());
    Ok(())
}

#[test]
fn a_listen_grant_is_no_connect_grant() -> TestResult {
    let policy = listening("127.0.0.1:80")?;
    assert!(policy.check(Use::TcpConnect("127.0.0.1:80".parse()?)).is_err());
    Ok(())
}

#[test]
fn port_ranges_hold_at_their_edges() -> TestResult {
    let policy = listening("127.0.0.1:80-82")?;
    assert!(!may_listen(&policy, "127.0.0.1:79")?);
    assert!(may_listen(&policy, "127.0.0.1:80")?);
    assert!(may_listen(&policy, "127.0.0.1:82")?);
    assert!(!may_listen(&policy, "127.0.0.1:83")?);
    let highest = listening("127.0.0.1:65535")?;
    assert!(may_listen(&highest, "127.0.0.1:65535")?);
    assert!(!may_listen(&highest, "127.0.0.1:65534")?);
    Ok(())
}

#[test]
fn networks_hold_at_their_edges() -> TestResult {
    let policy = listening("10.1.0.0/16:80")?;
    assert!(may_listen(&policy, "10.1.255.255:80")?);
    assert!(!may_listen(&policy, "10.2.0.0:80")?);
    Ok(())
}

#[test]
fn a_mapped_address_is_its_ipv4_address() -> TestResult {
    let policy = listening("127.0.0.1:80")?;
    assert!(may_listen(&policy, "[::ffff:127.0.0.1]:80")?);
    assert!(!may_listen(&policy, "[::ffff:127.0.0.2]:80")?);
    let six_only = listening("[::]/0:80")?;
    assert!(!may_listen(&six_only, "[::ffff:127.0.0.1]:80")?);
    Ok(())
}

/// What is written after the flag is read as what was asked for, however the guest
/// wrote it.
#[test]
fn the_flag_of_a_denial_cures_it() -> TestResult {
    for asked in ["127.0.0.1:80", "[::ffff:127.0.0.1]:80", "[fe80::1%2]:80", "[::1]:80"] {
        let asked: SocketAddr = asked.parse()?;
        let denial = Policy::default().check(Use::TcpListen(asked)).err().ok_or("granted")?;
        let grant = denial.flag.strip_prefix("--listen ").ok_or("no flag")?;
        assert!(listening(grant)?.check(Use::TcpListen(asked)).is_ok(), "{grant}");
    }
    assert!(listening("[::ffff:127.0.0.0/104]:80")?.check(Use::TcpListen("127.9.9.9:80".parse()?)).is_ok());
    Ok(())
}

#[test]
fn a_datagram_is_granted_by_its_own_grants() -> TestResult {
    let mut policy = listening("*:*")?;
    policy.allow_connect(&"*:*".parse()?);
    let address: SocketAddr = "127.0.0.1:53".parse()?;
    let (bind, send) = (Use::UdpBind(address), Use::UdpSend(address));
    assert!(policy.check(bind).is_err() && policy.check(send).is_err());
    policy.allow_udp_send(&"127.0.0.1:53".parse()?);
    assert!(policy.check(bind).is_err() && policy.check(send).is_ok());
    assert!(policy.check(Use::UdpSend("127.0.0.1:54".parse()?)).is_err());
    assert!(policy.check(Use::UdpSend("[::ffff:127.0.0.1]:53".parse()?)).is_ok());
    policy.allow_udp_bind(&"127.0.0.1:53".parse()?);
    assert!(policy.check(bind).is_ok());
    Ok(())
}

#[test]
fn an_address_is_shown_where_a_socket_may_be() -> TestResult {
    let mut policy = Policy::default();
    let shown = |policy: &Policy, ip: &str| Ok::<_, Box<dyn std::error::Error>>(policy.shows(ip.parse()?));
    assert!(!policy.shows_addresses() && !shown(&policy, "127.0.0.1")?);
    policy.allow_connect(&"127.0.0.1:*".parse()?);
    policy.allow_listen(&"unix:*".parse()?);
    assert!(!policy.shows_addresses());
    policy.allow_udp_bind(&"10.0.0.0/8:53".parse()?);
    assert!(policy.shows_addresses() && shown(&policy, "10.1.2.3")?);
    assert!(!shown(&policy, "127.0.0.1")? && !shown(&policy, "::1")?);
    policy.allow_listen(&"0.0.0.0:80".parse()?);
    assert!(shown(&policy, "127.0.0.1")? && !shown(&policy, "::1")?);
    policy.allow_listen(&"[::]:80".parse()?);
    assert!(shown(&policy, "::1")?);
    Ok(())
}

#[test]
fn a_path_is_granted_for_one_use() -> TestResult {
    let mut policy = listening("unix:/run/*")?;
    assert!(policy.check(Use::UnixListen("/run/a")).is_ok());
    assert!(policy.check(Use::UnixListen("/run/a/b")).is_err());
    assert!(policy.check(Use::UnixConnect("/run/a")).is_err());
    assert!(!may_listen(&policy, "127.0.0.1:0")?);
    policy.allow_connect(&"unix:/run/a".parse()?);
    assert!(policy.check(Use::UnixConnect("/run/a")).is_ok());
    let denial = policy.check(Use::UnixConnect("/run/b")).err().map(|denial| denial.flag);
    assert_eq!(denial.as_deref(), Some("--connect unix:/run/b"));
    Ok(())
}

#[test]
fn a_denial_names_the_flag() -> TestResult {
    let denial = Policy::default().check(Use::TcpListen("[::1]:80".parse()?));
    let expected = Denial {
        what: "[::1]:80".into(),
        rule: "no --listen grant covers it".into(),
        flag: "--listen [::1]:80".into(),
    };
    assert_eq!(denial, Err(expected));
    Ok(())
}

/// A guest that may do everything, but for what `deny` denies.
fn all_but(deny: impl FnOnce(&mut Policy)) -> Result<Policy, ParseError> {
    let mut policy = Policy::default();
    for grant in ["*:*", "unix:*"] {
        policy.allow_listen(&grant.parse()?);
        policy.allow_connect(&grant.parse()?);
    }
    policy.allow_udp_bind(&"*:*".parse()?);
    policy.allow_udp_send(&"*:*".parse()?);
    policy.allow_resolve("*".parse()?);
    deny(&mut policy);
    Ok(policy)
}

fn rule(policy: &Policy, wish: Use<'_>) -> Option<String> {
    policy.check(wish).err().map(|denial| {
        assert_eq!(denial.flag, "", "no flag would allow it");
        denial.rule.into_owned()
    })
}

#[test]
fn a_denial_wins_for_its_verb() -> TestResult {
    let (inner, outer) = ("10.1.2.3:80".parse()?, "192.0.2.1:80".parse()?);
    let uses = |address| {
        [
            (Verb::Listen, Use::TcpListen(address), "--deny-listen"),
            (Verb::Connect, Use::TcpConnect(address), "--deny-connect"),
            (Verb::UdpBind, Use::UdpBind(address), "--deny-udp-bind"),
            (Verb::UdpSend, Use::UdpSend(address), "--deny-udp-send"),
        ]
    };
    let network: Grant = "10.0.0.0/8:*".parse()?;
    for (verb, _, flag) in uses(inner) {
        let policy = all_but(|policy| policy.deny(Some(verb), network.clone()))?;
        for (other, wish, _) in uses(inner) {
            let expected = (verb == other).then(|| format!("{flag} 10.0.0.0/8:* forbids it"));
            assert_eq!(rule(&policy, wish), expected, "{verb:?} {wish:?}");
        }
        assert!(uses(outer).iter().all(|(_, wish, _)| policy.check(*wish).is_ok()));
    }
    let policy = all_but(|policy| policy.deny(None, network))?;
    for (_, wish, _) in uses(inner) {
        assert_eq!(rule(&policy, wish).as_deref(), Some("--deny 10.0.0.0/8:* forbids it"), "{wish:?}");
    }
    Ok(())
}

#[test]
fn a_denial_of_an_address_holds_for_the_wildcard_and_the_mapped_form() -> TestResult {
    let policy = all_but(|policy| {
        policy.deny(Some(Verb::Listen), SocketAddr::from(([127, 0, 0, 1], 80)).into());
    })?;
    for (address, is_allowed) in [
        ("127.0.0.1:80", false),
        ("[::ffff:127.0.0.1]:80", false),
        ("0.0.0.0:80", false),
        ("[::]:80", false),
        ("0.0.0.0:81", true),
        ("[::1]:80", true),
    ] {
        assert_eq!(may_listen(&policy, address)?, is_allowed, "{address}");
    }
    Ok(())
}

#[test]
fn paths_peers_and_names_are_denied() -> TestResult {
    let network: IpNet = "10.0.0.0/8".parse()?;
    let secret: Grant = "unix:/run/secret.sock".parse()?;
    let policy = all_but(|policy| {
        policy.deny(Some(Verb::Connect), secret);
        policy.deny_from(network);
    })?;
    let expected = "--deny-connect unix:/run/secret.sock forbids it";
    assert_eq!(rule(&policy, Use::UnixConnect("/run/secret.sock")).as_deref(), Some(expected));
    assert_eq!(rule(&policy, Use::UnixListen("/run/secret.sock")), None);
    assert_eq!(rule(&policy, Use::UnixConnect("/run/app.sock")), None);
    assert!(policy.narrows_senders());
    let expected = Some("--deny-from 10.0.0.0/8 forbids it");
    assert_eq!(rule(&policy, Use::TcpAccept("[::ffff:10.1.1.1]:5".parse()?)).as_deref(), expected);
    assert_eq!(rule(&policy, Use::UdpReceive("10.1.1.1:5".parse()?)).as_deref(), expected);
    assert_eq!(rule(&policy, Use::TcpAccept("192.0.2.1:5".parse()?)), None);

    let mut policy = all_but(|_| {})?;
    policy.deny_resolve("*.example.com".parse()?);
    let expected = Some("--deny-resolve *.example.com forbids it");
    assert_eq!(rule(&policy, Use::Resolve("www.example.com")).as_deref(), expected);
    assert_eq!(rule(&policy, Use::Resolve("example.org")), None);
    Ok(())
}

#[test]
fn a_check_can_only_narrow() -> TestResult {
    let address = "127.0.0.1:80".parse()?;
    let mut policy = listening("127.0.0.1:*")?;
    policy.add_check(|wish| {
        assert!(wish.address().is_none_or(|address| address.port() != 13), "as the test wants it");
        wish.address().is_some_and(|address| address.port() >= 1024)
    });
    assert_eq!(rule(&policy, Use::TcpListen(address)).as_deref(), Some("the host's own check refuses it"));
    assert!(may_listen(&policy, "127.0.0.1:8080")?);
    let panicked = Use::TcpListen("127.0.0.1:13".parse()?);
    assert_eq!(rule(&policy, panicked).as_deref(), Some("the host's own check panicked"));
    // It is not asked for what is not granted, and can't grant it.
    let denial = policy.check(Use::TcpConnect("127.0.0.1:8080".parse()?)).err().map(|denial| denial.flag);
    assert_eq!(denial.as_deref(), Some("--connect 127.0.0.1:8080"));
    assert!(policy.narrows_senders());
    Ok(())
}

#[test]
fn a_published_port_is_one_of_the_hosts() -> TestResult {
    let guests = Use::TcpListen("0.0.0.0:80".parse()?);
    let mut policy = Policy::default();
    policy.publish("127.0.0.1:8080:80".parse()?);
    assert_eq!(policy.published(guests), Some(Use::TcpListen("127.0.0.1:8080".parse()?)));
    assert!(policy.check(guests).is_ok());
    // Exactly that: not the host's port by its own number, and not by another protocol.
    assert!(!may_listen(&policy, "127.0.0.1:8080")? && !may_listen(&policy, "0.0.0.0:81")?);
    assert!(policy.check(Use::UdpBind("0.0.0.0:80".parse()?)).is_err());
    assert!(policy.shows("127.0.0.1".parse()?) && !policy.shows("10.0.0.1".parse()?));
    policy.deny(Some(Verb::Listen), "*:8080".parse()?);
    assert_eq!(rule(&policy, guests).as_deref(), Some("--deny-listen *:8080 forbids it"));
    Ok(())
}

#[test]
fn addresses_that_the_guest_may_reach_come_first() -> TestResult {
    let mut policy = Policy::default();
    policy.allow_connect(&"10.0.0.0/8:443".parse()?);
    policy.allow_udp_send(&"[fd00::/8]:53".parse()?);
    policy.deny(None, "10.9.0.0/16:*".parse()?);
    let found = ["192.0.2.1", "10.9.1.1", "10.1.1.1", "fd00::1", "10.1.1.2"];
    for (port, expected) in [
        (Some(443), ["10.1.1.1", "10.1.1.2", "192.0.2.1", "10.9.1.1", "fd00::1"]),
        (Some(53), ["fd00::1", "192.0.2.1", "10.9.1.1", "10.1.1.1", "10.1.1.2"]),
        (Some(80), found),
        (None, ["10.9.1.1", "10.1.1.1", "fd00::1", "10.1.1.2", "192.0.2.1"]),
    ] {
        let mut addresses: Vec<IpAddr> = found.iter().map(|ip| ip.parse()).collect::<Result<_, _>>()?;
        policy.put_reachable_first(&mut addresses, port);
        let addresses: Vec<String> = addresses.iter().map(IpAddr::to_string).collect();
        assert_eq!(addresses, expected, "{port:?}");
    }
    Ok(())
}
