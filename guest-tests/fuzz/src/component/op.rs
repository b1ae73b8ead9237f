//! One operation of a component.

use std::fmt::{self, Display};

use super::layout::{ADDRESS_SIZE, ADDRESSES, HANDLES, HANDLES_A_KIND, OP_SIZE, PERMITS};
use super::table::{CALLS, Kind, Param, name_of};
use crate::op::Arg;

/// An operation and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Op {
    /// Which: the place among the calls, then the kinds that are dropped, then what is the component's own.
    pub(super) number: u8,
    /// Which word of its kind a new handle goes to, or which address.
    pub(super) out: u8,
    /// Is it made with whatever there is?
    pub(super) is_wild: bool,
    pub(super) args: Vec<Arg>,
}

impl Op {
    /// As the interpreter reads it: its number, where what is new goes, whether it is wild; a bit for each argument that
    /// is in the memory; the arguments of 64 bits.
    pub(super) fn encode(&self, to: &mut Vec<u8>) {
        let end = to.len() + OP_SIZE as usize;
        let loads = (0..).zip(&self.args);
        let loads =
            loads.fold(0_u32, |bits, (index, arg)| bits | u32::from(matches!(arg, Arg::At(_))) << index);
        to.extend([self.number, self.out, u8::from(self.is_wild), 0]);
        to.extend(loads.to_le_bytes());
        for Arg::Is(value) | Arg::At(value) in &self.args {
            to.extend(value.to_le_bytes());
        }
        to.resize(end, 0);
    }
}

/// In words.
impl Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", name_of(usize::from(self.number)))?;
        let mut args = self.args.iter();
        let mut parts = Vec::new();
        for (_, param) in CALLS.get(usize::from(self.number)).map_or(&[][..], |call| call.params) {
            let first = args.clone().next();
            args.nth(param.words().len() - 1);
            match (param, first) {
                (Param::Address, Some(Arg::At(at))) => {
                    parts.push(format!("address[{}]", at.saturating_sub(ADDRESSES) / ADDRESS_SIZE));
                }
                (_, Some(arg)) => parts.push(shown(*arg)),
                (_, None) => {}
            }
        }
        parts.extend(args.map(|arg| shown(*arg)));
        let wild = if self.is_wild { ", wild" } else { "" };
        write!(f, "{}) -> {}{wild}", parts.join(", "), self.out)
    }
}

fn shown(arg: Arg) -> String {
    match arg {
        Arg::Is(value) => format!("{value:#x}"),
        Arg::At(at) if (HANDLES..HANDLES + PERMITS).contains(&at) => {
            let index = (at - HANDLES) / 4;
            let kind = Kind::ALL.get((index / HANDLES_A_KIND) as usize).map_or("?", |kind| kind.name());
            format!("{kind}[{}]", index % HANDLES_A_KIND)
        }
        Arg::At(at) => format!("at {at:#x}"),
    }
}
