//! One operation of a guest: a call of the host, or something done to its own memory.

use std::fmt::Write as _;

use wasock::internals::{CoreType, FUNCTIONS, Function, OTHER_TYPES};

use crate::layout::{FDS, FDS_A_KIND, OP_SIZE};

/// The most parameters that a function has.
#[cfg(test)]
const MAX_ARGS: usize = 14;

/// What a guest does besides calling the host, numbered after the functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Own {
    /// Stores 64 bits.
    Store64,
    /// Stores 32 bits, which may be a descriptor that an earlier call left somewhere.
    Store32,
    /// Copies bytes: address, source, length.
    Copy,
    /// Asks for more memory.
    Grow,
}

pub(crate) const OWN: [(Own, &[CoreType]); 4] = [
    (Own::Store64, &[CoreType::I32, CoreType::I64]),
    (Own::Store32, &[CoreType::I32, CoreType::I32]),
    (Own::Copy, &[CoreType::I32, CoreType::I32, CoreType::I32]),
    (Own::Grow, &[CoreType::I32]),
];

/// Every function that a guest may import: those of the public table, then those that have the name of another
/// one and another type.
pub(crate) fn functions() -> impl Iterator<Item = &'static Function> {
    FUNCTIONS.iter().chain(&OTHER_TYPES)
}

pub(crate) fn function_count() -> usize {
    FUNCTIONS.len() + OTHER_TYPES.len()
}

/// The function with this number.
pub(crate) fn function(number: usize) -> Option<&'static Function> {
    FUNCTIONS.get(number).or_else(|| OTHER_TYPES.get(number.checked_sub(FUNCTIONS.len())?))
}

/// Does it share its name with another one that dialects have it from?
pub(crate) fn has_other_type(function: &Function) -> bool {
    OTHER_TYPES.iter().any(|other| std::ptr::eq(other, function))
}

impl Own {
    pub(crate) fn number(self) -> u16 {
        (function_count() + OWN.iter().position(|(own, _)| *own == self).unwrap_or(0)) as u16
    }
}

/// What a descriptor stands for, as far as the generator expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FdKind {
    Dir,
    File,
    Stream,
    Listener,
    Connection,
    Accepted,
    Datagram,
    Unix,
    Pipe,
    Counter,
    Epoll,
    Standard,
}

impl FdKind {
    pub(crate) const ALL: [Self; 12] = [
        Self::Dir,
        Self::File,
        Self::Stream,
        Self::Listener,
        Self::Connection,
        Self::Accepted,
        Self::Datagram,
        Self::Unix,
        Self::Pipe,
        Self::Counter,
        Self::Epoll,
        Self::Standard,
    ];

    /// All but the directories, without which no path can be found.
    pub(crate) const NO_DIR: &[Self] = Self::ALL.split_at(1).1;

    /// The word that holds descriptor `index` of this kind.
    pub(crate) fn word(self, index: u64) -> u64 {
        FDS + (self as u64 * FDS_A_KIND + index % FDS_A_KIND) * 4
    }
}

/// One argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arg {
    /// This value.
    Is(u64),
    /// The 32 bits that are in the memory there when the call is made.
    At(u64),
}

/// An operation and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Op {
    /// Which: the place among [`functions`], then those of [`OWN`].
    pub(crate) number: u16,
    pub(crate) args: Vec<Arg>,
}

impl Op {
    pub(crate) fn own(own: Own, args: &[Arg]) -> Self {
        Self { number: own.number(), args: args.to_vec() }
    }

    pub(crate) fn function(&self) -> Option<&'static Function> {
        function(usize::from(self.number))
    }

    fn params(&self) -> &'static [CoreType] {
        match self.function() {
            Some(function) => function.params,
            None => OWN.get(usize::from(self.number) - function_count()).map_or(&[], |(_, params)| params),
        }
    }

    /// As the interpreter in the guest reads it: its number, a bit for each argument that
    /// is in the memory, the arguments of 64 bits.
    pub(crate) fn encode(&self, to: &mut Vec<u8>) {
        let end = to.len() + OP_SIZE as usize;
        let loads = self
            .args
            .iter()
            .enumerate()
            .fold(0_u32, |bits, (index, arg)| bits | u32::from(matches!(arg, Arg::At(_))) << index);
        to.extend_from_slice(&u32::from(self.number).to_le_bytes());
        to.extend_from_slice(&loads.to_le_bytes());
        for Arg::Is(value) | Arg::At(value) in &self.args {
            to.extend_from_slice(&value.to_le_bytes());
        }
        to.resize(end, 0);
    }

    /// As a line of a module's text.
    pub(crate) fn to_wat(&self) -> String {
        let mut args = String::new();
        for (arg, ty) in self.args.iter().zip(self.params()) {
            match (arg, ty) {
                (Arg::Is(value), CoreType::I32) => _ = write!(args, " (i32.const {:#x})", *value as u32),
                (Arg::Is(value), CoreType::I64) => _ = write!(args, " (i64.const {value:#x})"),
                (Arg::At(at), CoreType::I32) => _ = write!(args, " (i32.load (i32.const {at:#x}))"),
                (Arg::Is(value), CoreType::F64) => _ = write!(args, " (f64.const {value})"),
                (Arg::At(at), CoreType::F64) => _ = write!(args, " (f64.load (i32.const {at:#x}))"),
                (Arg::At(at), CoreType::I64) => _ = write!(args, " (i64.load32_u (i32.const {at:#x}))"),
            }
        }
        match self.function() {
            Some(function) if function.result.is_some() => {
                format!("(drop (call ${}.{}{args}))", function.module, function.name)
            }
            Some(function) => format!("(call ${}.{}{args})", function.module, function.name),
            None if self.number == Own::Store64.number() => format!("(i64.store{args})"),
            None if self.number == Own::Store32.number() => format!("(i32.store{args})"),
            None if self.number == Own::Copy.number() => format!("(memory.copy{args})"),
            None => format!("(drop (memory.grow{args}))"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_fits_an_operation() {
        for function in functions() {
            assert!(function.params.len() <= MAX_ARGS, "{}", function.name);
        }
        assert!(8 + 8 * MAX_ARGS as u64 <= OP_SIZE);
    }
}
