//! Numbers, limits and reservations.

use super::*;
use crate::observe::Limit;

impl Counted for u32 {
    const USUAL_BYTES: u64 = 100;

    fn note_descriptor(&self) {}

    fn charge(&self, _: &Arc<Account>, _: Option<Charge>) -> Result<(), Errno> {
        Ok(())
    }
}

fn table(limit: u32) -> FdTable<u32> {
    FdTable::new(limit, &Account::unlimited())
}

fn descriptor(value: u32) -> Descriptor<u32> {
    Descriptor { open: Arc::new(value), rights: Rights::FILE, inheriting: Rights::NONE, close_on_exec: false }
}

#[test]
fn the_lowest_free_number_is_given() -> Result<(), Errno> {
    let mut table = table(1024);
    for expected in 0..200 {
        assert_eq!(table.insert(descriptor(expected)), Ok(expected));
    }
    for fd in [130, 5, 64] {
        table.remove(fd)?;
    }
    for expected in [5, 64, 130, 200] {
        assert_eq!(table.insert(descriptor(0)), Ok(expected));
    }
    Ok(())
}

#[test]
fn numbers_in_turn_come_back_last() -> Result<(), Errno> {
    let mut table = table(70);
    table.insert(descriptor(0))?;
    table.give_in_turn();
    for expected in 1..70 {
        assert_eq!(table.insert(descriptor(0)), Ok(expected));
        if expected > 3 {
            table.remove(expected)?;
        }
    }
    for expected in [4, 5] {
        assert_eq!(table.insert(descriptor(0)), Ok(expected));
    }
    table.remove(2)?;
    for expected in (6..70).chain([2]) {
        assert_eq!(table.insert(descriptor(0)), Ok(expected));
    }
    assert_eq!(table.insert(descriptor(0)), Err(Errno::EMFILE));
    Ok(())
}

#[test]
fn a_full_table_takes_no_more_until_one_is_closed() -> Result<(), Errno> {
    let mut table = table(65);
    for _ in 0..65 {
        table.insert(descriptor(0))?;
    }
    assert_eq!(table.check_room(), Err(Errno::EMFILE));
    assert_eq!(table.insert(descriptor(0)), Err(Errno::EMFILE));
    table.remove(64)?;
    assert_eq!(table.insert(descriptor(0)), Ok(64));
    Ok(())
}

#[test]
fn the_last_number_is_kept_for_its_reservation() -> Result<(), Errno> {
    let mut table = table(3);
    table.insert(descriptor(0))?;
    table.insert(descriptor(1))?;
    let reserved = table.reserve()?;
    assert_eq!(table.check_room(), Err(Errno::EMFILE));
    assert_eq!(table.insert(descriptor(2)), Err(Errno::EMFILE));
    assert_eq!(table.reserve().err(), Some(Errno::EMFILE));
    assert_eq!(table.duplicate_onto(0, 2).err(), Some(Errno::EMFILE));
    assert!(table.duplicate_onto(0, 1)?.is_some());
    assert_eq!(table.install(descriptor(2), reserved), Ok(2));
    assert_eq!(table.open_count(), 3);
    table.remove(0)?;
    let unused = table.reserve()?;
    drop(unused);
    table.release();
    assert_eq!(table.insert(descriptor(3)), Ok(0));
    Ok(())
}

#[test]
fn a_minimum_is_kept() -> Result<(), Errno> {
    let mut table = table(300);
    table.insert(descriptor(0))?;
    assert_eq!(table.insert_from(0, descriptor(0)), Ok(1));
    assert_eq!(table.insert_from(70, descriptor(0)), Ok(70));
    assert_eq!(table.insert_from(70, descriptor(0)), Ok(71));
    assert_eq!(table.insert_from(299, descriptor(0)), Ok(299));
    assert_eq!(table.insert_from(299, descriptor(0)), Err(Errno::EMFILE));
    assert_eq!(table.insert_from(300, descriptor(0)), Err(Errno::EINVAL));
    assert_eq!(table.insert(descriptor(0)), Ok(2));
    Ok(())
}

#[test]
fn renumber_moves_and_returns_what_it_replaced() -> Result<(), Errno> {
    let mut table = table(8);
    table.insert(descriptor(10))?;
    table.insert(descriptor(11))?;
    let replaced = table.renumber(0, 1)?;
    assert_eq!(replaced.map(|old| *old.open), Some(11));
    assert_eq!(*table.get(1)?.open, 10);
    assert_eq!(table.get(0).err(), Some(Errno::EBADF));
    assert_eq!(table.renumber(1, 5).err(), Some(Errno::EBADF));
    Ok(())
}

#[test]
fn duplicate_onto_keeps_its_source() -> Result<(), Errno> {
    let mut table = table(8);
    table.insert(descriptor(10))?;
    assert!(table.duplicate_onto(0, 6)?.is_none());
    assert_eq!(*table.get(6)?.open, 10);
    assert_eq!(*table.get(0)?.open, 10);
    assert_eq!(table.duplicate_onto(0, 8).err(), Some(Errno::EBADF));
    assert_eq!(table.insert(descriptor(0)), Ok(1));
    Ok(())
}

#[test]
fn a_client_that_finds_it_full_gets_the_reason() -> Result<(), Errno> {
    let limit = Account::new(Limit::Descriptors, 2);
    let mut table = table(2).limited_by(&limit);
    table.insert(descriptor(0))?;
    assert_eq!(table.insert_from(2, descriptor(1)), Err(Errno::EINVAL));
    table.insert(descriptor(1))?;
    let full = Some((Limit::Descriptors, 2));
    assert_eq!((limit.take_denial(), table.check_room()), (None, Err(Errno::EMFILE)));
    assert_eq!(limit.take_denial(), full);
    assert_eq!((table.reserve().err(), limit.take_denial()), (Some(Errno::EMFILE), full));
    assert_eq!((table.insert(descriptor(2)), limit.take_denial()), (Err(Errno::EMFILE), full));
    assert_eq!((table.insert_from(1, descriptor(2)), limit.take_denial()), (Err(Errno::EMFILE), full));
    table.remove(0)?;
    table.reserve()?;
    assert_eq!((table.duplicate_onto(1, 0).err(), limit.take_denial()), (Some(Errno::EMFILE), full));
    // What the account lacks memory for is another limit's.
    let poor = Account::new(Limit::HostMemory, 1);
    let mut table = FdTable::new(2, &poor).limited_by(&limit);
    assert_eq!((table.insert(descriptor(0)), limit.take_denial()), (Err(Errno::EMFILE), None));
    Ok(())
}

#[test]
fn an_arbitrary_number_is_not_open() {
    let table = table(8);
    assert_eq!(table.get(u32::MAX).err(), Some(Errno::EBADF));
}

#[test]
fn a_table_grows_as_it_is_used_and_as_far_as_it_may() -> Result<(), Errno> {
    let account = Account::new(Limit::HostMemory, 1 << 20);
    let mut table = FdTable::new(u32::MAX, &account);
    table.insert(descriptor(0))?;
    assert!(account.used() < 1000, "{} bytes", account.used());
    assert_eq!(table.duplicate_onto(0, u32::MAX - 1).err(), Some(Errno::EMFILE));
    assert_eq!(account.take_denial(), Some((Limit::HostMemory, 1 << 20)));
    assert!(table.duplicate_onto(0, 10_000)?.is_none());
    assert!(account.used() > 10_000);
    assert_eq!(table.insert(descriptor(0)), Ok(1));
    drop(table);
    assert_eq!(account.used(), 0);
    Ok(())
}

#[test]
fn what_is_reserved_has_its_memory() -> Result<(), Errno> {
    let account = Account::new(Limit::HostMemory, 2000);
    let mut table = FdTable::new(64, &account);
    let reserved = table.reserve()?;
    let others = account.charge(account.left())?;
    assert_eq!(table.check_room(), Err(Errno::EMFILE));
    assert_eq!(table.reserve().err(), Some(Errno::EMFILE));
    assert_eq!(table.install(descriptor(0), reserved), Ok(0));
    drop((others, table));
    assert_eq!(account.used(), 0);
    Ok(())
}

#[test]
fn what_a_copy_has_from_its_table_counts_once() -> Result<(), Errno> {
    let mut table = table(4);
    for value in 0..3 {
        table.insert(descriptor(value))?;
    }
    let mut copy = table.duplicated()?;
    let mut third = copy.duplicated()?;
    assert_eq!((table.open_in_family(), copy.open_count()), (3, 3));
    assert_eq!(copy.insert(descriptor(3)), Ok(3));
    // All three are full, whatever each has.
    assert_eq!((table.check_room(), third.reserve().err()), (Err(Errno::EMFILE), Some(Errno::EMFILE)));
    assert_eq!(table.insert(descriptor(4)), Err(Errno::EMFILE));
    // One that others have too takes a place of its own where it is replaced.
    assert_eq!(third.duplicate_onto(0, 1).err(), Some(Errno::EMFILE));
    assert!(copy.duplicate_onto(0, 3)?.is_some());
    copy.remove(2)?;
    third.remove(2)?;
    assert_eq!(table.check_room(), Err(Errno::EMFILE));
    table.remove(2)?;
    assert!(third.duplicate_onto(0, 1)?.is_some());
    assert_eq!((table.open_in_family(), table.check_room()), (4, Err(Errno::EMFILE)));
    drop(third);
    assert_eq!(table.open_in_family(), 3);
    let reserved = copy.reserve()?;
    assert_eq!((table.open_in_family(), table.check_room()), (3, Err(Errno::EMFILE)));
    assert_eq!(copy.install(descriptor(5), reserved), Ok(2));
    drop(table);
    assert_eq!(copy.open_in_family(), 4);
    copy.renumber(0, 1)?;
    assert_eq!((copy.open_in_family(), copy.open_count()), (3, 3));
    Ok(())
}
