//! The meanings of calls that differ between programs.

use super::Numbering;

/// What calls with several meanings mean to a program. Its dialect decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Personality {
    /// Does the preview 1 `fd_renumber` duplicate, as WASIX's C library needs, or
    /// move, as preview 1 says?
    pub(crate) renumber_duplicates: bool,
    /// Does what is preopened as the root take absolute paths? The C library of WASIX
    /// thinks so.
    pub(crate) root_takes_absolute_paths: bool,
    /// Is it a program of the first generation of WASIX, with its own numbers for the kinds of
    /// sockets, which closes some of its descriptors twice?
    pub(crate) is_first_generation: bool,
    /// Do its families and kinds of sockets begin with 0, as those of WasmEdge before 0.10?
    pub(crate) counts_from_zero: bool,
    /// Has the program room for an IPv6 address with its flow and scope?
    pub(crate) wide_addresses: bool,
    /// Does it get a small `/dev`?
    pub(crate) has_devices: bool,
    /// Are the rights of sockets numbered as WAMR has them?
    pub(crate) socket_rights_of_wamr: bool,
    /// Does it take what tells how a child ended for the exit code itself?
    pub(crate) reads_raw_status: bool,
    /// The numbers that its signals have.
    pub(crate) numbering: Numbering,
}

impl Personality {
    /// That of preview 1, where nothing has a second meaning.
    pub(crate) const PREVIEW1: Self = Self {
        renumber_duplicates: false,
        root_takes_absolute_paths: false,
        is_first_generation: false,
        counts_from_zero: false,
        wide_addresses: false,
        has_devices: false,
        socket_rights_of_wamr: false,
        reads_raw_status: false,
        numbering: Numbering::Preview1,
    };
}
