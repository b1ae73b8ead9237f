//! With real sockets: what is reported, in which order, and how often.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

use std::io::IoSlice;
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::*;
use crate::address::Address;
use crate::io::{can_drive, no_longer_drives};
use crate::policy::Policy;
use crate::ready::{recv, send};
use crate::socket::{Domain, Kind, RecvFlags, Status};

const MOMENT: Duration = Duration::from_millis(50);
const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// The list, with connections under the numbers 10, 11 and so on, and their other ends.
fn interests(count: u32) -> (InterestList, Vec<Arc<Socket>>, Vec<Arc<Socket>>) {
    let mut interests = InterestList::new(InterestKinds { listeners: true, connections: true });
    let (near, far): (Vec<_>, Vec<_>) = (0..count).map(|_| pair().into()).unzip();
    for (fd, socket) in (10..).zip(&near) {
        interests.learn(fd, Some(Arc::clone(socket)));
    }
    (interests, near, far)
}

fn pair() -> [Arc<Socket>; 2] {
    Socket::pair(&Domain::Inet4, Kind::Stream).unwrap().map(Arc::new)
}

async fn write(socket: &Socket) {
    assert_eq!(send(socket, true, &mut [IoSlice::new(b"x")]).await, Ok(1));
}

/// The number of the next one that changes, and whether that was the last time.
async fn next(interests: &mut InterestList) -> (u32, bool) {
    let (id, is_over) = timeout(WAIT_TIMEOUT, interests.next()).await.unwrap().unwrap();
    (interests.get(id).unwrap().fd().unwrap(), is_over)
}

async fn is_quiet(interests: &mut InterestList) -> bool {
    timeout(MOMENT, interests.next()).await.is_err()
}

#[tokio::test]
async fn changes_come_in_order_and_once() {
    let (mut interests, _near, far) = interests(5);
    assert!(is_quiet(&mut interests).await);
    for number in [3, 1, 3, 4] {
        write(&far[number]).await;
    }
    for expected in [13, 11, 14] {
        assert_eq!(next(&mut interests).await, (expected, false));
    }
    assert!(is_quiet(&mut interests).await);
}

#[tokio::test]
async fn what_was_there_before_is_reported() {
    let mut interests = InterestList::new(InterestKinds { listeners: false, connections: true });
    let [near, far] = pair();
    write(&far).await;
    interests.learn(4, Some(Arc::clone(&near)));
    assert_eq!(next(&mut interests).await, (4, false));
    assert!(is_quiet(&mut interests).await);
}

#[tokio::test]
async fn what_is_queued_again_waits_for_its_turn() {
    let (mut interests, _near, far) = interests(3);
    write(&far[0]).await;
    write(&far[2]).await;
    let (first, _) = interests.next().await.unwrap();
    interests.requeue(first);
    // What changes meanwhile comes after it.
    assert_eq!(next(&mut interests).await, (12, false));
    write(&far[1]).await;
    assert_eq!(next(&mut interests).await, (10, false));
    assert_eq!(next(&mut interests).await, (11, false));
    assert!(is_quiet(&mut interests).await);
}

/// One that is queued again each time leaves the others their turn.
#[tokio::test]
async fn one_that_is_always_busy_delays_no_other() {
    let (mut interests, _near, far) = interests(2);
    write(&far[0]).await;
    let (busy, _) = interests.next().await.unwrap();
    interests.requeue(busy);
    write(&far[1]).await;
    let mut turns = 0;
    loop {
        let (id, _) = interests.next().await.unwrap();
        if id != busy {
            break;
        }
        interests.requeue(busy);
        turns += 1;
        assert!(turns < 3, "the other one has no turn");
    }
}

#[tokio::test]
async fn the_last_change_is_returned_and_then_it_is_quiet() {
    let (mut interests, _near, far) = interests(1);
    drop(far);
    let (id, is_over) = interests.next().await.unwrap();
    assert!(is_over);
    assert!(is_quiet(&mut interests).await);
    interests.requeue(id);
    assert_eq!(next(&mut interests).await, (10, true));
    assert!(!interests.is_empty());
}

#[tokio::test]
async fn what_is_not_watched_any_more_is_not_returned() {
    let (mut interests, near, far) = interests(3);
    for socket in &far {
        write(socket).await;
    }
    interests.learn(10, None);
    assert_eq!(next(&mut interests).await, (11, false));
    drop(near);
    interests.learn(12, None);
    assert!(is_quiet(&mut interests).await);
    interests.learn(11, None);
    assert!(interests.is_empty());
}

#[tokio::test]
async fn a_number_that_is_used_again_is_another_socket() {
    let (mut interests, _near, far) = interests(1);
    let [other, its_peer] = pair();
    interests.learn(10, Some(Arc::clone(&other)));
    write(&far[0]).await;
    assert!(is_quiet(&mut interests).await);
    write(&its_peer).await;
    assert_eq!(next(&mut interests).await, (10, false));
    // A duplicate is the same one, by the older number.
    interests.learn(11, Some(Arc::clone(&other)));
    assert!(recv(&other, false, &mut [0; 8], RecvFlags::default(), false).await.is_ok());
    write(&its_peer).await;
    assert_eq!(next(&mut interests).await, (10, false));
    interests.learn(10, None);
    write(&its_peer).await;
    assert_eq!(next(&mut interests).await, (11, false));
}

/// A call of the guest's finds that the attempt has failed before the reactor reports it.
#[tokio::test]
async fn an_attempt_that_a_call_finds_failed_is_reported_as_over() {
    can_drive(&Handle::current());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    // One connection fills the queue; a second attempt goes on until the listener is gone.
    rustix::net::listen(&listener, 0).unwrap();
    let _first = TcpStream::connect(address).unwrap();
    let mut policy = Policy::default();
    policy.allow_connect(&"127.0.0.1:*".parse().unwrap());
    let socket = Arc::new(Socket::open(Domain::Inet4, Kind::Stream, 0).unwrap());
    let begun = socket.try_connect(&Address::Inet(address), &policy);
    assert_eq!(begun.unwrap_err().errno(), Errno::EINPROGRESS);
    let mut interests = InterestList::new(InterestKinds { listeners: false, connections: true });
    interests.learn(4, Some(Arc::clone(&socket)));
    assert!(is_quiet(&mut interests).await);
    drop(listener);
    // This thread is the reactor's, which reports nothing meanwhile.
    let mut fds = [PollFd::from_borrowed_fd(socket.poll_fd(), PollFlags::OUT)];
    let most = Timespec { tv_sec: 20, tv_nsec: 0 };
    assert_eq!(rustix::event::poll(&mut fds, Some(&most)), Ok(1));
    assert_eq!(socket.status(), Ok(Status::Failed));
    assert_eq!(next(&mut interests).await, (4, true));
    no_longer_drives(&Handle::current());
}
