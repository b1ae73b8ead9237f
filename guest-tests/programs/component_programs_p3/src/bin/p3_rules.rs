//! `p3_rules RULE`: checks a rule of listening from inside, with the sockets of WASI 0.3, and says that it holds.

use std::pin::pin;

use component_programs_p3::*;
use wasip3::clocks::monotonic_clock::now;
use wasip3::sockets::types::{IpAddressFamily, TcpSocket};

program!(run);

async fn run() -> Result<(), ()> {
    match argument(1).expect("a rule").as_str() {
        "accept_states" => accept_states().await,
        "accept_timeout" => accept_timeout().await,
        "closing_while_another_waits" => closing_while_another_waits().await,
        "connected_or_connecting" => connected_or_connecting().await,
        "drop_in_any_order" => drop_in_any_order().await,
        "failure_changes_nothing" => failure_changes_nothing().await,
        "implicit_bind" => implicit_bind(),
        "order_of_errors" => order_of_errors().await,
        "polling_consumes_nothing" => polling_consumes_nothing().await,
        "taken_after_bind" => taken_after_bind().await,
        "two_listeners" => two_listeners().await,
        "unbound" => unbound().await,
        other => panic!("{other}: no such rule"),
    }
    println!("holds");
    Ok(())
}

/// A socket that is bound to a port of the host's choice at 127.0.0.1.
fn bound() -> TcpSocket {
    bound_to(loopback(0)).expect("a port is free")
}

/// Connections come of a listener alone, of which there is one stream: it waits while there is none.
async fn accept_states() {
    let (mut listener, near, far) = connected().await;
    assert!(listener.try_accept().is_none());
    assert!(is_code(listener.socket.listen(), "EINVAL"), "it listens");
    for socket in [&near, &far] {
        assert!(is_code(socket.listen(), "EINVAL"), "it is connected");
    }
    assert!(listener.socket.get_is_listening() && !near.get_is_listening());
}

async fn accept_timeout() {
    let mut listener = Listener::at(loopback(0)).expect("a listener");
    let begun = now();
    assert!(listener.accept_within(30).await.is_none());
    assert!(now() - begun >= 30 * MILLISECOND);
    let begun = now();
    assert!(!listener.is_ready_within(30).await);
    assert!(now() - begun >= 30 * MILLISECOND);
}

/// The stream goes while a read of it waits, and the socket after it.
async fn closing_while_another_waits() {
    for _ in 0..10 {
        let Listener { socket, mut connections } = Listener::at(loopback(0)).expect("a listener");
        let address = local(&socket);
        let mut read = Box::pin(connections.read(Vec::with_capacity(1)));
        assert!(poll_once(read.as_mut()).is_none());
        drop(read);
        drop(connections);
        drop(socket);
        assert!(is_code(connect(address).await, "ECONNREFUSED"), "it listens on");
    }
}

/// "`invalid-state`: The socket is already in the `connected` state. (EISCONN, EINVAL on BSD)"
async fn connected_or_connecting() {
    let (_listener, near, far) = connected().await;
    for socket in [&near, &far] {
        assert!(is_code(socket.listen(), "EINVAL"));
        assert!(is_code(socket.set_listen_backlog_size(4), "EINVAL"));
        assert!(is_code(socket.connect(to_wasi(loopback(1))).await, "EINVAL"));
        assert!(socket.get_remote_address().is_ok());
    }
    let silent = address(4);
    let connecting = fresh();
    let mut attempt = pin!(connecting.connect(to_wasi(silent)));
    assert!(poll_once(attempt.as_mut()).is_none());
    assert!(is_code(connecting.listen(), "EINVAL"));
    assert!(is_code(connecting.set_listen_backlog_size(4), "EINVAL"));
    assert!(is_code(connecting.connect(to_wasi(silent)).await, "EINVAL"));
}

async fn failure_changes_nothing() {
    let socket = fresh();
    // It would be bound to the wildcard address, where nothing is granted.
    assert!(is_code(socket.listen(), "EACCES"));
    let denied = to_wasi("192.0.2.1:1".parse().expect("an address"));
    assert!(is_code(socket.bind(denied), "EACCES"));
    socket.bind(to_wasi(loopback(0))).expect("it binds");
    still_listens(socket).await;
}

async fn still_listens(socket: TcpSocket) {
    let mut listener = Listener::of(socket).expect("it listens");
    let mut near = Connection::of(connect(local(&listener.socket)).await.expect("a connection"));
    let mut far = Connection::of(listener.accept().await);
    far.write(b"hello").await.expect("it takes data");
    assert_eq!(near.read().await, b"hello");
}

/// State, arguments, policy, operating system.
async fn order_of_errors() {
    let foreign = || to_wasi("192.0.2.1:1".parse().expect("an address"));
    let group = || to_wasi("224.0.0.1:1".parse().expect("an address"));
    // State before arguments and policy.
    assert!(is_code(bound().bind(group()), "EINVAL"));
    assert!(is_code(bound().bind(foreign()), "EINVAL"));
    let (_listener, near, _far) = connected().await;
    assert!(is_code(near.set_listen_backlog_size(0), "EINVAL"));
    // Arguments before the policy, which grants neither.
    assert!(is_code(fresh().bind(group()), "invalid-argument"));
    assert!(is_code(fresh().connect(group()).await, "invalid-argument"));
    // The policy before the operating system, which does not have the address.
    assert!(is_code(fresh().bind(foreign()), "EACCES"));
    let six = TcpSocket::create(IpAddressFamily::Ipv6).expect("a socket");
    assert!(is_code(six.listen(), "EACCES"));
}

async fn polling_consumes_nothing() {
    let mut listener = Listener::at(loopback(0)).expect("a listener");
    assert!(!listener.is_ready_within(0).await, "no connection waits");
    let mut clients = Vec::new();
    for _ in 0..3 {
        clients.push(connect(local(&listener.socket)).await.expect("a connection"));
    }
    for client in &clients {
        for _ in 0..50 {
            assert!(listener.is_ready_within(5000).await, "a connection waits");
        }
        let accepted = listener.try_accept().expect("it waits");
        assert_eq!(peer(&accepted), local(client));
    }
    assert!(!listener.is_ready_within(0).await, "no connection waits any more");
}

/// Two sockets at one address, of which none listens.
async fn taken_after_bind() {
    let listener = Listener::at(loopback(0)).expect("a listener");
    let address = local(&listener.socket);
    assert!(is_code(bound_to(address), "EADDRINUSE"));
    drop(listener);
    still_listens(bound_to(address).expect("it is free again")).await;
}

async fn two_listeners() {
    let listener = Listener::at(loopback(0)).expect("a listener");
    let address = local(&listener.socket);
    assert!(is_code(bound_to(address), "EADDRINUSE"));
    connect(address).await.expect("the first one listens");
}

/// "this function will implicitly bind the socket to a random free port", where the policy grants that.
async fn unbound() {
    let socket = fresh();
    assert!(is_code(socket.get_local_address(), "EINVAL"));
    assert!(is_code(socket.set_listen_backlog_size(0), "invalid-argument"));
    assert!(socket.set_listen_backlog_size(u64::MAX).is_ok());
    assert!(is_code(socket.listen(), "EACCES"));
    assert!(is_code(socket.get_local_address(), "EINVAL"));
}

/// The same where it does.
fn implicit_bind() {
    let socket = fresh();
    let _connections = socket.listen().expect("it is bound to the wildcard address");
    let address = local(&socket);
    assert!(address.ip().is_unspecified() && address.port() != 0, "{address}");
}

/// A socket, its streams and what tells their ends go in any order.
async fn drop_in_any_order() {
    for order in 0..4 {
        let (listener, near, far) = connected().await;
        let Connection { socket, input, received, output, sent } = Connection::of(near);
        let mut far = Connection::of(far);
        match order {
            0 => drop((socket, input, output, received, sent)),
            1 => drop((sent, received, output, input, socket)),
            2 => {
                drop((socket, received, sent, listener));
                far.write(b"late").await.expect("the streams keep the connection");
                let mut input = input;
                assert_eq!(input.read(Vec::with_capacity(9)).await.1, b"late");
                drop((input, output));
            }
            _ => {
                // The ends are told when their streams are gone.
                drop((input, output));
                received.await.expect("in order");
                sent.await.expect("in order");
                drop(socket);
            }
        }
        assert!(far.read().await.is_empty());
    }
}
