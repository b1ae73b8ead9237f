//! What wiggle makes of `witx/wamr.witx`: a module for each noun, with the
//! trait that `Call` implements and the raw functions that the linker's glue calls; and `types`.

#![allow(missing_docs, reason = "documented in the witx file")]
#![allow(unreachable_pub, unused_qualifications, reason = "generated")]
#![allow(clippy::all, clippy::indexing_slicing, reason = "generated")]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    reason = "generated: core types are bit patterns"
)]

use crate::error::Error;

include!(concat!(env!("OUT_DIR"), "/bindings_wamr.rs"));
