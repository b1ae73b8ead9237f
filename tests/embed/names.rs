//! Reaching out by name, with a resolver of the test's own.

use super::{WAIT_TIMEOUT, events, run_async};
use anyhow::{Context as _, Result, ensure};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasock::{Errno, Event, Grant, Use, WasockCtx, WasockCtxBuilder};

/// What the guest `egress` says of its steps.
async fn steps(builder: WasockCtxBuilder, steps: &[&str]) -> Result<Vec<String>> {
    let stdout = MemoryOutputPipe::new(1 << 16);
    let builder = builder.stdout(&stdout).arg("egress").args(steps.iter().copied());
    tokio::time::timeout(WAIT_TIMEOUT, run_async(guest_tests::EGRESS, builder.build_for_any_module()?))
        .await??;
    Ok(String::from_utf8(stdout.contents().to_vec())?.lines().map(str::to_owned).collect())
}

/// A resolver that knows one address, and how often it was asked.
fn always(address: IpAddr) -> (impl Fn(&str) -> Found + Send + Sync + 'static, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let resolver = move |_: &str| {
        count.fetch_add(1, SeqCst);
        Ok((vec![address], None))
    };
    (resolver, asked)
}

type Found = Result<(Vec<IpAddr>, Option<Duration>), Errno>;

fn connecting(grants: &[&str]) -> Result<WasockCtxBuilder> {
    let grants = grants.iter().map(|grant| Grant::for_connecting(grant)).collect::<Result<Vec<_>, _>>()?;
    Ok(grants.iter().fold(WasockCtx::builder(), WasockCtxBuilder::connect))
}

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Whoever answers for the name has it lead to the machine itself, once it was granted.
#[tokio::test]
async fn a_name_that_is_bound_anew_leads_to_no_private_address() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let port = listener.local_addr()?.port();
    let public: IpAddr = "1.1.1.1".parse()?;
    for inside in ["127.0.0.1", "::ffff:127.0.0.1", "169.254.169.254", "10.0.0.1", "fd00:ec2::254", "0.0.0.0"]
    {
        let inside: IpAddr = inside.parse()?;
        let asked = AtomicUsize::new(0);
        let seen: Arc<Mutex<Vec<SocketAddr>>> = Arc::default();
        let (granted, (observer, events)) = (Arc::clone(&seen), events());
        let builder = connecting(&[&format!("api.example:{port}")])?
            .observer(observer)
            .resolver(move |_| {
                let is_first = asked.fetch_add(1, SeqCst) == 0;
                Ok((vec![if is_first { public } else { inside }], None))
            })
            // Asked about what the grants allow, and no packet goes out.
            .check(move |wish| match wish {
                Use::TcpConnect(there) => granted.lock().is_ok_and(|mut seen| {
                    seen.push(there);
                    false
                }),
                _ => true,
            });
        let outside = SocketAddr::new(public, port);
        let (first, last) = (outside.to_string(), SocketAddr::new(inside, port).to_string());
        let look_up = ["look-up", "api.example", "connect"];
        let all = [&look_up[..], &[&first], &look_up[..], &[&last]].concat();
        let said = steps(builder, &all).await?;
        ensure!(said.last().is_some_and(|line| line.ends_with(": EACCES")), "{said:?}");
        let seen = seen.lock().map_or_else(|_| Vec::new(), |seen| seen.clone());
        ensure!(seen == [outside], "{seen:?}");
        let told = wait_for(&events, 2)?;
        ensure!(told.iter().any(|line| line.contains("the host's own check refuses it")), "{told:?}");
        // To connect to the wildcard address is to reach the loopback address, which the name has not.
        let why = if inside.is_unspecified() { "no --connect grant" } else { "api.example leads there" };
        ensure!(told.iter().any(|line| line.contains(why)), "{told:?}");
    }
    ensure!(listener.accept().is_err(), "somebody came");
    Ok(())
}

/// So many denials.
fn wait_for(events: &mpsc::Receiver<Event>, count: usize) -> Result<Vec<String>> {
    let mut told = Vec::new();
    while told.len() < count {
        if let Event::Denied { call, what, rule, flag } = events.recv_timeout(WAIT_TIMEOUT)? {
            told.push(format!("{call} of {what}: {rule}; {flag}"));
        }
    }
    Ok(told)
}

#[tokio::test]
async fn a_name_grants_what_the_guest_has_looked_up() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let there = listener.local_addr()?;
    let (resolver, asked) = always(LOOPBACK);
    let builder = connecting(&[&format!("db.example@127.0.0.0/8:{}", there.port())])?.resolver(resolver);
    let to = there.to_string();
    let said = steps(builder, &["look-up", "db.example", "connect", &to, "connect", &to]).await?;
    ensure!(
        said == [
            "look-up db.example: 127.0.0.1".to_owned(),
            format!("connect {to}: done"),
            format!("connect {to}: done")
        ],
        "{said:?}"
    );
    ensure!(asked.load(SeqCst) == 1, "asked {asked:?} times");
    listener.accept()?;
    Ok(())
}

#[tokio::test]
async fn an_address_from_elsewhere_has_the_host_look_the_name_up() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let to = listener.local_addr()?.to_string();
    for verb in ["connect", "connect-nonblocking"] {
        let (resolver, asked) = always(LOOPBACK);
        let builder = connecting(&[&format!("db.example@127.0.0.0/8:{}", listener.local_addr()?.port())])?
            .resolver(resolver);
        let other = to.replace("127.0.0.1", "127.0.0.2");
        let said = steps(builder, &[verb, &to, verb, &other, verb, &other]).await?;
        let done = if verb == "connect" { "done" } else { "EINPROGRESS" };
        let expected = [
            format!("{verb} {to}: {done}"),
            format!("{verb} {other}: EACCES"),
            format!("{verb} {other}: EACCES"),
        ];
        ensure!(
            said == expected
                || said.first().is_some_and(|line| line.ends_with("done"))
                    && said.iter().skip(1).eq(expected.iter().skip(1)),
            "{said:?}"
        );
        ensure!(asked.load(SeqCst) == 1, "asked {asked:?} times");
        listener.accept()?;
    }
    Ok(())
}

#[tokio::test]
async fn a_datagram_goes_where_a_name_leads() -> Result<()> {
    let peer = UdpSocket::bind("127.0.0.1:0")?;
    peer.set_read_timeout(Some(WAIT_TIMEOUT))?;
    let to = peer.local_addr()?.to_string();
    let (resolver, asked) = always(LOOPBACK);
    let grant = Grant::for_connecting(&format!("log.example@127.0.0.1:{}", peer.local_addr()?.port()))?;
    let builder = WasockCtx::builder().udp_send(&grant).resolver(resolver);
    let other = to.replace("127.0.0.1", "127.0.0.2");
    let said = steps(builder, &["send", &to, "send", &to, "send", &other, "connect", &to]).await?;
    let outcomes: Vec<_> = said.iter().filter_map(|line| line.rsplit(' ').next()).collect();
    ensure!(outcomes == ["done", "done", "EACCES", "EACCES"], "{said:?}");
    ensure!(peer.recv(&mut [0; 8])? == 5 && peer.recv(&mut [0; 8])? == 5, "not what was sent");
    ensure!(asked.load(SeqCst) == 1, "asked {asked:?} times");
    Ok(())
}

#[tokio::test]
async fn what_is_denied_is_not_granted_by_a_name() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (to, port) = (listener.local_addr()?.to_string(), listener.local_addr()?.port());
    let granted = |resolver| {
        Ok::<_, anyhow::Error>(
            connecting(&[&format!("*.example@*:{port}"), &format!("a.example@*:{port}")])?.resolver(resolver),
        )
    };
    // The address.
    let (resolver, _) = always(LOOPBACK);
    let builder = granted(resolver)?.deny_connect(&"127.0.0.0/8:*".parse()?);
    let said = steps(builder, &["look-up", "a.example", "connect", &to]).await?;
    ensure!(said.last().is_some_and(|line| line.ends_with("EACCES")), "{said:?}");
    // The name: neither the guest nor the host looks it up.
    let (resolver, asked) = always(LOOPBACK);
    let builder = granted(resolver)?.deny_resolve("a.example".parse()?);
    let said = steps(builder, &["look-up", "a.example", "connect", &to]).await?;
    ensure!(said.iter().all(|line| line.ends_with("EACCES")) && asked.load(SeqCst) == 0, "{said:?}");
    // A denial by name has no address to refuse, and refuses each at that port.
    let (resolver, _) = always(LOOPBACK);
    let builder = granted(resolver)?.deny_connect(&Grant::for_connecting(&format!("other.example:{port}"))?);
    let said = steps(builder, &["look-up", "a.example", "connect", &to]).await?;
    ensure!(said.last().is_some_and(|line| line.ends_with("EACCES")), "{said:?}");
    Ok(())
}

/// A name that was not granted grants nothing, though it may be looked up.
#[tokio::test]
async fn a_name_of_another_grant_grants_no_address() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (to, port) = (listener.local_addr()?.to_string(), listener.local_addr()?.port());
    let (resolver, _) = always(LOOPBACK);
    let builder = connecting(&[&format!("*.example@*:{port}"), "a.other@*:1"])?
        .resolve("*".parse()?)
        .resolver(resolver);
    let said = steps(builder, &["look-up", "a.other", "look-up", "example", "connect", &to]).await?;
    ensure!(said.last().is_some_and(|line| line.ends_with("EACCES")), "{said:?}");
    Ok(())
}

#[tokio::test]
async fn a_resolver_that_fails_grants_nothing_and_is_named() -> Result<()> {
    let (observer, events) = events();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let builder = connecting(&["api.example:443"])?.observer(observer).resolver(move |_| {
        count.fetch_add(1, SeqCst);
        Err(Errno::EAGAIN)
    });
    let said = steps(builder, &["connect", "1.1.1.1:443", "connect", "1.1.1.1:443"]).await?;
    ensure!(said == ["connect 1.1.1.1:443: EACCES", "connect 1.1.1.1:443: EACCES"], "{said:?}");
    ensure!(asked.load(SeqCst) == 1, "asked {asked:?} times");
    let told = wait_for(&events, 1)?;
    ensure!(told.first().is_some_and(|line| line.contains("api.example could not be looked up")), "{told:?}");
    Ok(())
}

/// The runtime has one thread, on which the resolver's reply is made.
#[tokio::test]
async fn a_slow_resolver_blocks_no_thread_of_the_runtime() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (to, port) = (listener.local_addr()?.to_string(), listener.local_addr()?.port());
    let (asked, mut is_asked) = tokio::sync::mpsc::unbounded_channel();
    let (reply, replies) = mpsc::channel();
    let replies = Mutex::new(replies);
    let builder = connecting(&[&format!("db.example@*:{port}")])?.resolver(move |_| {
        asked.send(()).map_err(|_| Errno::EIO)?;
        let replies = replies.lock().map_err(|_| Errno::EIO)?;
        Ok((vec![replies.recv_timeout(WAIT_TIMEOUT).map_err(|_| Errno::EAGAIN)?], None))
    });
    let replying = async {
        is_asked.recv().await.context("not asked")?;
        Ok::<_, anyhow::Error>(reply.send(LOOPBACK)?)
    };
    let to = ["connect", to.as_str()];
    let (said, replied) = tokio::join!(steps(builder, &to), replying);
    replied?;
    ensure!(said?.first().is_some_and(|line| line.ends_with("done")), "not connected");
    Ok(())
}
