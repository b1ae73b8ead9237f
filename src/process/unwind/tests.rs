//! Checkpoints, by the depth of the stack at which they were made.

#![expect(clippy::expect_used, reason = "a test may fail")]

use super::*;
use crate::observe::Limit;

fn account() -> Arc<Account> {
    Account::new(Limit::HostMemory, 1 << 20)
}

fn frames(stack_pointer: i32) -> Frames {
    Frames { stack_pointer, tls_base: None, bytes: Arc::from([1, 2, 3].as_slice()) }
}

/// Makes a checkpoint at each of these depths.
fn with<const N: usize>(unwinding: &mut Unwinding, account: &Arc<Account>, depths: [i32; N]) -> [u64; N] {
    depths.map(|depth| {
        let number = unwinding.next_checkpoint();
        unwinding.keep(number, frames(depth), account).expect("room");
        number
    })
}

#[test]
fn a_checkpoint_ends_with_its_function() {
    let (mut unwinding, account) = (Unwinding::default(), account());
    unwinding.enter(false);
    let numbers = with(&mut unwinding, &account, [9000, 8000, 7000, 8000]);
    let lives: Vec<bool> = numbers.iter().map(|number| unwinding.jump(*number, 1, 5000).is_some()).collect();
    // The third was made further down than the fourth.
    assert_eq!(lives, [true, true, false, true]);
    // From further up, the functions of three of them have returned.
    let lives: Vec<bool> = numbers.iter().map(|number| unwinding.jump(*number, 1, 8500).is_some()).collect();
    assert_eq!(lives, [true, false, false, false]);
}

#[test]
fn a_jump_forgets_what_it_leaves() {
    let (mut unwinding, account) = (Unwinding::default(), account());
    unwinding.enter(false);
    let [_, second, third] = with(&mut unwinding, &account, [9000, 8000, 7000]);
    let jump = unwinding.jump(second, 5, 6000).expect("a jump");
    assert_eq!(unwinding.land(jump), Some(frames(8000)));
    assert_eq!(unwinding.jump(third, 1, 6000), None);
    assert!(unwinding.jump(second, 1, 6000).is_some());
}

#[test]
fn a_jump_goes_to_its_activation_alone() {
    let (mut unwinding, account) = (Unwinding::default(), account());
    unwinding.enter(false);
    let [outer] = with(&mut unwinding, &account, [9000]);
    unwinding.enter(true);
    let [inner] = with(&mut unwinding, &account, [5000]);
    let out = unwinding.jump(outer, 1, 400).expect("a jump out");
    assert_eq!(unwinding.land(out), None);
    unwinding.leave();
    assert_eq!(unwinding.land(out), Some(frames(9000)));
    assert_eq!(unwinding.jump(inner, 1, 400), None);
}

#[test]
fn numbers_that_were_never_made_are_refused() {
    let (mut unwinding, account) = (Unwinding::default(), account());
    unwinding.enter(false);
    with(&mut unwinding, &account, [9000]);
    for forged in [0, 2, u64::MAX] {
        assert_eq!(unwinding.jump(forged, 1, 0), None);
    }
}

#[test]
fn a_loop_takes_bounded_memory_and_gives_it_back() {
    let (mut unwinding, account) = (Unwinding::default(), account());
    unwinding.enter(false);
    let numbers = with(&mut unwinding, &account, [9000; 10_000]);
    assert!(account.used() <= (CHECKPOINT + 3) * 256, "{} bytes", account.used());
    assert!(unwinding.jump(*numbers.last().expect("one"), 1, 5000).is_some());
    unwinding.leave();
    assert_eq!(account.used(), 0);
}

#[test]
fn a_deep_recursion_fails_where_its_account_is_full() {
    let mut unwinding = Unwinding::default();
    let account = Account::new(Limit::HostMemory, 1000);
    unwinding.enter(false);
    let made = (0..100).map(|depth| {
        unwinding.keep(depth + 1, frames(i32::MAX - 1024 * i32::try_from(depth).unwrap_or(0)), &account)
    });
    assert_eq!(made.filter(Result::is_err).count(), 90);
}
