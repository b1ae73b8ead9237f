//! Each situation in thousands of orders: random ones, and those with few changes of
//! threads at the worst places. `MODEL_ITERATIONS` has them tried more often.

use models::{futexes, lists, parkers, signals};

fn holds(situation: fn()) {
    let times = std::env::var("MODEL_ITERATIONS").ok().and_then(|times| times.parse().ok()).unwrap_or(4000);
    shuttle::check_random(situation, times);
    shuttle::check_pct(situation, times, 3);
}

#[test]
fn a_parker_is_woken_by_all() {
    holds(parkers::a_parker_is_woken_by_all);
}

#[test]
fn a_change_ends_every_wait() {
    holds(futexes::a_change_ends_every_wait);
}

#[test]
fn every_wake_up_arrives_once() {
    holds(futexes::every_wake_up_arrives_once);
}

#[test]
fn a_dropped_waiter_hands_its_wake_up_on() {
    holds(futexes::a_dropped_waiter_hands_its_wake_up_on);
}

#[test]
fn every_change_finds_a_waiter() {
    holds(lists::every_change_finds_a_waiter);
}

#[test]
fn the_kernels_part_has_a_leader() {
    holds(lists::the_kernels_part_has_a_leader);
}

#[test]
fn what_is_listed_ends_a_park() {
    holds(lists::what_is_listed_ends_a_park);
}

#[test]
fn a_dropped_waiter_hands_on() {
    holds(lists::a_dropped_waiter_hands_on);
}

#[test]
fn a_look_takes_no_wake_up() {
    holds(lists::a_look_takes_no_wake_up);
}

#[test]
fn a_signal_ends_a_wait() {
    holds(signals::a_signal_ends_a_wait);
}

#[test]
fn a_signal_ends_a_park() {
    holds(signals::a_signal_ends_a_park);
}

#[test]
fn each_signal_is_handled_once() {
    holds(signals::each_signal_is_handled_once);
}

#[test]
fn a_thread_that_ends_leaves_its_signal() {
    holds(signals::a_thread_that_ends_leaves_its_signal);
}

#[test]
fn a_thread_that_computes_looks() {
    holds(signals::a_thread_that_computes_looks);
}
