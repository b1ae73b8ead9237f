//! `component_rules RULE`: checks a rule of listening from inside, with the sockets of WASI 0.2, and says that it holds.

use component_programs::*;
use wasip2::clocks::monotonic_clock::{now, subscribe_duration};
use wasip2::io::poll::{Pollable, poll};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::{ErrorCode, IpAddressFamily};
use wasip2::sockets::tcp::{ShutdownType, TcpSocket};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;

fn main() {
    let rule = std::env::args().nth(1).expect("a rule");
    match rule.as_str() {
        "accept_states" => accept_states(),
        "accept_timeout" => accept_timeout(),
        "closing_while_another_waits" => {}
        "connected_or_connecting" => connected_or_connecting(),
        "drop_in_any_order" => drop_in_any_order(),
        "failure_changes_nothing" => failure_changes_nothing(),
        "order_of_errors" => order_of_errors(),
        "polling_consumes_nothing" => polling_consumes_nothing(),
        "taken_after_bind" => taken_after_bind(),
        "two_listeners" => two_listeners(),
        "two_parts" => two_parts(),
        "unbound" => unbound(),
        other => panic!("{other}: no such rule"),
    }
    println!("holds");
}

fn accept_states() {
    assert_eq!(fresh().accept().map(drop), Err(ErrorCode::InvalidState));
    let socket = bound();
    assert_eq!(socket.accept().map(drop), Err(ErrorCode::InvalidState));
    start(&socket).expect("it listens");
    assert_eq!(socket.accept().map(drop), Err(ErrorCode::WouldBlock));
    let (_listener, (near, ..), _far) = connected();
    assert_eq!(near.accept().map(drop), Err(ErrorCode::InvalidState));
}

/// A limit is a second pollable.
fn accept_timeout() {
    let listener = listen(loopback(0)).expect("a listener");
    let begun = now();
    let ready = poll(&[&listener.subscribe(), &subscribe_duration(30_000_000)]);
    assert_eq!((ready.as_slice(), now() - begun >= 30_000_000), (&[1][..], true));
}

/// "`invalid-state`: The socket is already in the `connected` state. (EISCONN, EINVAL on BSD)"
fn connected_or_connecting() {
    let (_listener, (near, ..), (far, ..)) = connected();
    for socket in [&near, &far] {
        assert_eq!(socket.start_listen(), Err(ErrorCode::InvalidState));
        assert_eq!(socket.set_listen_backlog_size(4), Err(ErrorCode::InvalidState));
        assert!(socket.remote_address().is_ok());
    }
    let silent = std::env::args().nth(4).expect("a listener that takes nobody").parse().expect("an address");
    let connecting = fresh();
    connecting.start_connect(&instance_network(), to_wasi(silent)).expect("it begins");
    assert_eq!(connecting.start_listen(), Err(ErrorCode::ConcurrencyConflict));
}

fn failure_changes_nothing() {
    let socket = fresh();
    assert_eq!(socket.start_listen(), Err(ErrorCode::InvalidState));
    let denied = to_wasi("192.0.2.1:1".parse().expect("an address"));
    assert_eq!(socket.start_bind(&instance_network(), denied), Err(ErrorCode::AccessDenied));
    socket.start_bind(&instance_network(), to_wasi(loopback(0))).expect("it binds");
    socket.finish_bind().expect("it is bound");
    still_listens(&socket);
}

fn still_listens(socket: &TcpSocket) {
    start(socket).expect("it listens");
    let (_socket, input, _output) = connect(local(socket)).expect("a connection");
    let (_far, _input, output) = accept(socket).expect("the other end");
    write_all(&output, b"hello").expect("it takes data");
    assert_eq!(read(&input).expect("it has data"), b"hello");
}

/// State, arguments, policy, operating system.
fn order_of_errors() {
    let foreign = || to_wasi("192.0.2.1:1".parse().expect("an address"));
    let group = || to_wasi("224.0.0.1:1".parse().expect("an address"));
    let network = instance_network();
    // State before arguments and policy.
    assert_eq!(bound().start_bind(&network, group()), Err(ErrorCode::InvalidState));
    assert_eq!(bound().start_bind(&network, foreign()), Err(ErrorCode::InvalidState));
    // Arguments before the policy, which grants neither.
    assert_eq!(fresh().start_bind(&network, group()), Err(ErrorCode::InvalidArgument));
    // The policy before the operating system, which does not have the address.
    assert_eq!(fresh().start_bind(&network, foreign()), Err(ErrorCode::AccessDenied));
    let six = create_tcp_socket(IpAddressFamily::Ipv6).expect("a socket");
    assert_eq!(six.start_listen(), Err(ErrorCode::InvalidState));
    // What was started comes first of all.
    let socket = fresh();
    socket.start_bind(&network, to_wasi(loopback(0))).expect("it binds");
    assert_eq!(socket.start_bind(&network, group()), Err(ErrorCode::ConcurrencyConflict));
    assert_eq!(socket.start_listen(), Err(ErrorCode::ConcurrencyConflict));
}

/// Each part of a call belongs to the other one.
fn two_parts() {
    let network = instance_network();
    let socket = fresh();
    assert_eq!(socket.finish_bind(), Err(ErrorCode::NotInProgress));
    assert_eq!(socket.finish_listen(), Err(ErrorCode::NotInProgress));
    assert_eq!(socket.finish_connect().map(drop), Err(ErrorCode::NotInProgress));
    socket.start_bind(&network, to_wasi(loopback(0))).expect("it binds");
    assert_eq!(socket.finish_listen(), Err(ErrorCode::NotInProgress));
    socket.finish_bind().expect("it is bound");
    assert_eq!(socket.finish_bind(), Err(ErrorCode::NotInProgress));
    socket.start_listen().expect("it listens");
    assert!(socket.is_listening());
    assert_eq!(socket.start_listen(), Err(ErrorCode::ConcurrencyConflict));
    socket.finish_listen().expect("it listens");
    assert_eq!(socket.start_listen(), Err(ErrorCode::InvalidState));
    // A connection that was refused is the end of a socket.
    let gone = local(&bound());
    let client = fresh();
    client.start_connect(&network, to_wasi(gone)).expect("it begins");
    let refused = loop {
        match client.finish_connect() {
            Err(ErrorCode::WouldBlock) => client.subscribe().block(),
            finished => break finished.map(drop),
        }
    };
    assert_eq!(refused, Err(ErrorCode::ConnectionRefused));
    assert_eq!(client.finish_connect().map(drop), Err(ErrorCode::NotInProgress));
    assert_eq!(client.start_connect(&network, to_wasi(gone)), Err(ErrorCode::InvalidState));
    assert_eq!(client.start_bind(&network, to_wasi(loopback(0))), Err(ErrorCode::InvalidState));
    assert_eq!(client.local_address().map(drop), Err(ErrorCode::InvalidState));
}

fn polling_consumes_nothing() {
    let listener = listen(loopback(0)).expect("a listener");
    let waiting = listener.subscribe();
    assert!(!waiting.ready(), "no connection waits");
    let clients: Vec<_> = (0..3).map(|_| connect(local(&listener)).expect("a connection")).collect();
    for (client, ..) in &clients {
        for _ in 0..50 {
            assert!(waiting.ready(), "a connection waits");
            let also: Pollable = listener.subscribe();
            assert_eq!(poll(&[&waiting, &also, &subscribe_duration(5_000_000_000)]), [0, 1]);
        }
        let (socket, ..) = listener.accept().expect("it waits");
        assert_eq!(from_wasi(socket.remote_address().expect("a peer")), local(client));
    }
    assert!(!waiting.ready(), "no connection waits any more");
}

/// Two sockets at one address, of which none listens.
fn taken_after_bind() {
    let listener = bound();
    start(&listener).expect("it listens");
    let address = local(&listener);
    assert_eq!(bound_to(address).map(drop), Err(ErrorCode::AddressInUse));
    drop(listener);
    still_listens(&bound_to(address).expect("it is free again"));
}

fn two_listeners() {
    let listener = listen(loopback(0)).expect("a listener");
    assert_eq!(listen(local(&listener)).map(drop), Err(ErrorCode::AddressInUse));
    connect(local(&listener)).expect("the first one listens");
}

/// "`invalid-state`: The socket is not bound to any local address. (EDESTADDRREQ)"
fn unbound() {
    let socket = fresh();
    assert_eq!(socket.start_listen(), Err(ErrorCode::InvalidState));
    assert_eq!(socket.set_listen_backlog_size(0), Err(ErrorCode::InvalidArgument));
    assert_eq!(socket.set_listen_backlog_size(u64::MAX), Ok(()));
    assert_eq!(socket.shutdown(ShutdownType::Both), Err(ErrorCode::InvalidState));
}

/// A socket, its streams and their pollables go in any order.
fn drop_in_any_order() {
    for order in 0..6 {
        let (listener, (near, near_input, near_output), (far, input, output)) = connected();
        let waiting = (near_input.subscribe(), near_output.subscribe(), near.subscribe());
        match order {
            0 => drop((near, near_input, near_output, waiting)),
            1 => drop((waiting, near_output, near_input, near)),
            2 => drop((near_input, near, waiting, near_output)),
            3 => drop((near_output, waiting, near_input, near)),
            // The pollables are left, and ready: there is nothing to wait for.
            4 => {
                drop((near, near_input, near_output));
                assert_eq!(poll(&[&waiting.0, &waiting.1, &waiting.2]), [0, 1, 2]);
                assert!(read(&input).expect("the end").is_empty());
                drop(waiting);
            }
            _ => {
                drop(listener.subscribe());
                drop((near, near_output));
                write_all(&output, b"late").expect("one stream keeps the connection");
                assert_eq!(read(&near_input).expect("data"), b"late");
                drop(waiting);
            }
        }
        drop((far, output));
        drop(listener);
        drop(input);
    }
}
