//! The table against a model: a map, and the rules of POSIX in their slowest form.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::{Descriptor, FdTable};
use crate::account::{Account, Charge};
use crate::error::Errno;
use crate::fd::Rights;

const LIMITS: [u32; 7] = [0, 1, 3, 64, 65, 130, 200];

#[derive(Clone, Debug)]
enum TableStep {
    Insert,
    InsertFrom(u32),
    Remove(u32),
    Renumber(u32, u32),
    DuplicateOnto(u32, u32),
    Reserve,
    Install,
    Release,
    GiveInTurn,
}

fn step() -> impl Strategy<Value = TableStep> {
    // Mostly numbers that can be, and the edges around words and limits.
    let number = || prop_oneof![8 => 0..12_u32, 4 => 60..70_u32, 2 => 0..210_u32, 1 => any::<u32>()];
    prop_oneof![
        12 => Just(TableStep::Insert),
        3 => number().prop_map(TableStep::InsertFrom),
        6 => number().prop_map(TableStep::Remove),
        3 => (number(), number()).prop_map(|(from, to)| TableStep::Renumber(from, to)),
        3 => (number(), number()).prop_map(|(from, to)| TableStep::DuplicateOnto(from, to)),
        2 => Just(TableStep::Reserve),
        2 => Just(TableStep::Install),
        1 => Just(TableStep::Release),
        1 => Just(TableStep::GiveInTurn),
    ]
}

/// A model of the table, simple enough to be obviously right.
struct Model {
    open: BTreeMap<u32, u32>,
    reserved: usize,
    limit: u32,
    turn: Option<u32>,
}

impl Model {
    fn check_room(&self) -> Result<(), Errno> {
        let is_full = self.open.len() + self.reserved >= self.limit as usize;
        if is_full { Err(Errno::EMFILE) } else { Ok(()) }
    }

    fn lowest_free(&self, minimum: u32) -> Option<u32> {
        (minimum..self.limit).find(|fd| !self.open.contains_key(fd))
    }

    fn insert(&mut self, value: u32) -> Result<u32, Errno> {
        self.check_room()?;
        let begin = self.turn.unwrap_or(0);
        let fd = self.lowest_free(begin).or_else(|| self.lowest_free(0)).ok_or(Errno::EMFILE)?;
        if self.turn.is_some() {
            self.turn = Some(fd + 1);
        }
        self.open.insert(fd, value);
        Ok(fd)
    }

    fn insert_from(&mut self, minimum: u32, value: u32) -> Result<u32, Errno> {
        if minimum > 0 && minimum >= self.limit {
            return Err(Errno::EINVAL);
        }
        self.check_room()?;
        let fd = self.lowest_free(minimum).ok_or(Errno::EMFILE)?;
        self.open.insert(fd, value);
        Ok(fd)
    }

    fn renumber(&mut self, from: u32, to: u32) -> Result<Option<u32>, Errno> {
        let value = *self.open.get(&from).ok_or(Errno::EBADF)?;
        if !self.open.contains_key(&to) {
            return Err(Errno::EBADF);
        }
        if from == to {
            return Ok(None);
        }
        self.open.remove(&from);
        Ok(self.open.insert(to, value))
    }

    fn duplicate_onto(&mut self, from: u32, to: u32) -> Result<Option<u32>, Errno> {
        let value = *self.open.get(&from).ok_or(Errno::EBADF)?;
        if to >= self.limit {
            return Err(Errno::EBADF);
        }
        if from == to {
            return Ok(None);
        }
        if !self.open.contains_key(&to) {
            self.check_room()?;
        }
        Ok(self.open.insert(to, value))
    }
}

fn descriptor(value: u32) -> Descriptor<u32> {
    let (rights, inheriting) = (Rights::FILE, Rights::NONE);
    Descriptor { open: Arc::new(value), rights, inheriting, close_on_exec: false }
}

fn value(replaced: Result<Option<Descriptor<u32>>, Errno>) -> Result<Option<u32>, Errno> {
    replaced.map(|descriptor| descriptor.map(|descriptor| *descriptor.open))
}

fn same_after(
    step: &TableStep,
    number: u32,
    table: &mut FdTable<u32>,
    model: &mut Model,
) -> Result<(), TestCaseError> {
    match *step {
        TableStep::Insert => prop_assert_eq!(table.insert(descriptor(number)), model.insert(number)),
        TableStep::InsertFrom(minimum) => {
            let inserted = table.insert_from(minimum, descriptor(number));
            prop_assert_eq!(inserted, model.insert_from(minimum, number));
        }
        TableStep::Remove(fd) => {
            let removed = table.remove(fd).map(|descriptor| *descriptor.open);
            prop_assert_eq!(removed, model.open.remove(&fd).ok_or(Errno::EBADF));
        }
        TableStep::Renumber(from, to) => {
            prop_assert_eq!(value(table.renumber(from, to)), model.renumber(from, to));
        }
        TableStep::DuplicateOnto(from, to) => {
            prop_assert_eq!(value(table.duplicate_onto(from, to)), model.duplicate_onto(from, to));
        }
        TableStep::Reserve => {
            let room = model.check_room();
            model.reserved += usize::from(room.is_ok());
            // What is reserved of the memory is given back at once: here there is enough.
            prop_assert_eq!(table.reserve().map(drop), room);
        }
        TableStep::Install => {
            model.reserved = model.reserved.saturating_sub(1);
            prop_assert_eq!(
                table.install(descriptor(number), Charge::none(&Account::unlimited())),
                model.insert(number)
            );
        }
        TableStep::Release => {
            model.reserved = model.reserved.saturating_sub(1);
            table.release();
        }
        TableStep::GiveInTurn => {
            model.turn.get_or_insert(0);
            table.give_in_turn();
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_table_is_a_map_with_the_lowest_free_number(
        limit in prop::sample::select(LIMITS.to_vec()),
        steps in prop::collection::vec(step(), 0..300),
    ) {
        let mut table = FdTable::new(limit, &Account::unlimited());
        let mut model = Model { open: BTreeMap::new(), reserved: 0, limit, turn: None };
        for (number, step) in (0..).zip(&steps) {
            same_after(step, number, &mut table, &mut model)?;
            prop_assert_eq!(table.open_count(), model.open.len(), "{:?}", step);
            prop_assert_eq!(table.check_room(), model.check_room());
            let after_last = model.open.last_key_value().map_or(0, |(last, _)| last + 1);
            prop_assert!(table.end() >= after_last && table.end() <= limit);
        }
        for fd in 0..limit + 2 {
            let found = table.get(fd).ok().map(|descriptor| *descriptor.open);
            prop_assert_eq!(found, model.open.get(&fd).copied(), "{}", fd);
        }
    }
}

#[derive(Clone, Debug)]
enum FamilyStep {
    Insert,
    Remove(u32),
    Renumber(u32, u32),
    DuplicateOnto(u32, u32),
    Copy,
    Drop,
}

fn family_step() -> impl Strategy<Value = (usize, FamilyStep)> {
    let number = || 0..7_u32;
    let step = prop_oneof![
        6 => Just(FamilyStep::Insert),
        5 => number().prop_map(FamilyStep::Remove),
        2 => (number(), number()).prop_map(|(from, to)| FamilyStep::Renumber(from, to)),
        4 => (number(), number()).prop_map(|(from, to)| FamilyStep::DuplicateOnto(from, to)),
        3 => Just(FamilyStep::Copy),
        1 => Just(FamilyStep::Drop),
    ];
    (0..4_usize, step)
}

/// Tables of one family by their numbers, with the place that each descriptor has.
#[derive(Default)]
struct FamilyModel {
    tables: Vec<BTreeMap<u32, u32>>,
    last: u32,
}

impl FamilyModel {
    const LIMIT: u32 = 6;

    fn places(&self) -> BTreeSet<u32> {
        self.tables.iter().flat_map(|table| table.values().copied()).collect()
    }

    fn is_full(&self) -> bool {
        self.places().len() >= Self::LIMIT as usize
    }

    fn new_place(&mut self) -> u32 {
        self.last += 1;
        self.last
    }

    fn insert(&mut self, table: usize) -> Result<u32, Errno> {
        if self.is_full() {
            return Err(Errno::EMFILE);
        }
        let place = self.new_place();
        let own = self.tables.get_mut(table).ok_or(Errno::EBADF)?;
        let fd = (0..).find(|fd| !own.contains_key(fd)).unwrap_or(u32::MAX);
        own.insert(fd, place);
        Ok(fd)
    }

    fn remove(&mut self, table: usize, fd: u32) -> Result<(), Errno> {
        let own = self.tables.get_mut(table).ok_or(Errno::EBADF)?;
        own.remove(&fd).map(drop).ok_or(Errno::EBADF)
    }

    fn renumber(&mut self, table: usize, from: u32, to: u32) -> Result<(), Errno> {
        let own = self.tables.get_mut(table).ok_or(Errno::EBADF)?;
        if !own.contains_key(&to) {
            return Err(Errno::EBADF);
        }
        let place = own.get(&from).copied().ok_or(Errno::EBADF)?;
        if from != to {
            own.remove(&from);
            own.insert(to, place);
        }
        Ok(())
    }

    fn duplicate_onto(&mut self, table: usize, from: u32, to: u32) -> Result<(), Errno> {
        let place_of = |fd: u32| self.tables.get(table)?.get(&fd).copied();
        if place_of(from).is_none() || to >= Self::LIMIT {
            return Err(Errno::EBADF);
        }
        if from == to {
            return Ok(());
        }
        let users =
            |place: u32| self.tables.iter().flat_map(BTreeMap::values).filter(|it| **it == place).count();
        let is_own = place_of(to).is_some_and(|place| users(place) == 1);
        if !is_own {
            if self.is_full() {
                return Err(Errno::EMFILE);
            }
            let place = self.new_place();
            self.tables.get_mut(table).ok_or(Errno::EBADF)?.insert(to, place);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_family_has_as_many_descriptors_as_it_has_made(
        steps in prop::collection::vec(family_step(), 0..200),
    ) {
        let mut tables = vec![FdTable::new(FamilyModel::LIMIT, &Account::unlimited())];
        let mut model = FamilyModel { tables: vec![BTreeMap::new()], last: 0 };
        for (index, step) in steps {
            let index = index % tables.len();
            let Some(table) = tables.get_mut(index) else { continue };
            match step {
                FamilyStep::Insert => prop_assert_eq!(table.insert(descriptor(0)), model.insert(index)),
                FamilyStep::Remove(fd) => {
                    prop_assert_eq!(table.remove(fd).map(drop), model.remove(index, fd));
                }
                FamilyStep::Renumber(from, to) => {
                    prop_assert_eq!(table.renumber(from, to).map(drop), model.renumber(index, from, to));
                }
                FamilyStep::DuplicateOnto(from, to) => {
                    let duplicated = model.duplicate_onto(index, from, to);
                    prop_assert_eq!(table.duplicate_onto(from, to).map(drop), duplicated);
                }
                FamilyStep::Copy => {
                    let copy = table.duplicated();
                    prop_assert!(copy.is_ok());
                    tables.extend(copy);
                    let copy = model.tables.get(index).cloned();
                    model.tables.extend(copy);
                }
                FamilyStep::Drop if tables.len() > 1 => {
                    tables.remove(index);
                    model.tables.remove(index);
                }
                FamilyStep::Drop => {}
            }
            let open = tables.first().map(FdTable::open_in_family);
            prop_assert_eq!(open, Some(model.places().len()));
        }
    }
}
