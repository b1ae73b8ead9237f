//! The signals, their numbers, and what each does to a guest without a handler.

use std::fmt;

use crate::error::Errno;

macro_rules! signals {
    ($($name:ident = $number:literal $text:literal: $meaning:literal, $default:ident;)*) => {
        /// A signal, in the numbers of today's WASIX, which are those of Linux.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Signal {
            $(#[doc = $meaning] $name,)*
        }

        impl Signal {
            /// All of them, by their numbers.
            pub const ALL: [Self; 31] = [$(Self::$name,)*];

            /// Its number, from 1 to 31.
            pub const fn number(self) -> u8 {
                match self {
                    $(Self::$name => $number,)*
                }
            }

            /// The name in POSIX: `SIGTERM`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => concat!("SIG", $text),)*
                }
            }

            /// What it does where the guest has no handler.
            pub(super) const fn default(self) -> Default {
                match self {
                    $(Self::$name => Default::$default,)*
                }
            }
        }
    };
}

/// What a signal does where there is no handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Default {
    /// Ends the guest.
    End,
    /// Nothing. A guest can't be stopped, so what would stop it or let it go on is
    /// nothing as well.
    Ignore,
}

// "Default Action ... T: Abnormal termination of the process ... I: Ignore the signal
// ... S: Stop the process ... C: Continue the process" - signal.h(0p)
signals! {
    Hup = 1 "HUP": "The terminal is gone.", End;
    Int = 2 "INT": "Ctrl-C.", End;
    Quit = 3 "QUIT": "Ctrl-\\.", End;
    Ill = 4 "ILL": "Illegal instruction.", End;
    Trap = 5 "TRAP": "Breakpoint.", End;
    Abrt = 6 "ABRT": "The program gave up.", End;
    Bus = 7 "BUS": "Memory that is not there.", End;
    Fpe = 8 "FPE": "Arithmetic without a result.", End;
    Kill = 9 "KILL": "Ends the guest; there is no handler for it.", End;
    Usr1 = 10 "USR1": "The program's own.", End;
    Segv = 11 "SEGV": "Memory that is not the program's.", End;
    Usr2 = 12 "USR2": "The program's own.", End;
    Pipe = 13 "PIPE": "No reader is left. A write fails with `EPIPE`; a handler is called, and nothing else happens.", End;
    Alrm = 14 "ALRM": "The time is over.", End;
    Term = 15 "TERM": "Please end.", End;
    Stkflt = 16 "STKFLT": "Unused; programs of before March 2023 do not know it.", End;
    Chld = 17 "CHLD": "A child has ended.", Ignore;
    Cont = 18 "CONT": "Go on.", Ignore;
    Stop = 19 "STOP": "Stop; there is no handler for it.", Ignore;
    Tstp = 20 "TSTP": "Ctrl-Z.", Ignore;
    Ttin = 21 "TTIN": "A background program reads the terminal.", Ignore;
    Ttou = 22 "TTOU": "A background program writes to the terminal.", Ignore;
    Urg = 23 "URG": "Urgent data.", Ignore;
    Xcpu = 24 "XCPU": "Too much processor time.", End;
    Xfsz = 25 "XFSZ": "A file that is too large.", End;
    Vtalrm = 26 "VTALRM": "The processor time is over.", End;
    Prof = 27 "PROF": "The time for a sample has come.", End;
    Winch = 28 "WINCH": "The terminal has another size.", Ignore;
    Poll = 29 "POLL": "Something is ready.", End;
    Pwr = 30 "PWR": "The power fails.", End;
    Sys = 31 "SYS": "A call that does not exist.", End;
}

/// Which numbers a program uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbering {
    /// WASIX since March 2023.
    Linux,
    /// Preview 1, and WASIX before: there is no `SIGSTKFLT`, and what comes after it is
    /// one less.
    Preview1,
}

impl Numbering {
    /// The signal with this number; nothing for 0, which asks whether one could be sent.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an unknown number.
    pub(crate) fn signal(self, number: u32) -> Result<Option<Signal>, Errno> {
        if number == 0 {
            return Ok(None);
        }
        let found = Signal::ALL.into_iter().find(|signal| self.number(*signal) == Some(number));
        // "EINVAL: The value of the sig argument is an invalid or unsupported signal
        // number." - kill(3p)
        found.map(Some).ok_or(Errno::EINVAL)
    }

    /// The number of a signal, where there is one.
    pub(crate) fn number(self, signal: Signal) -> Option<u32> {
        let number = u32::from(signal.number());
        let missing = u32::from(Signal::Stkflt.number());
        match self {
            Self::Linux => Some(number),
            Self::Preview1 if number == missing => None,
            Self::Preview1 => Some(number - u32::from(number > missing)),
        }
    }
}

impl Signal {
    /// The exit code of a guest that it ended, as shells have it: "128 + n".
    pub fn exit_code(self) -> u32 {
        128 + u32::from(self.number())
    }

    /// Does it end a guest that does not handle it?
    pub fn ends(self) -> bool {
        self.default() == Default::End
    }

    pub(super) fn bit(self) -> u32 {
        1 << self.number()
    }

    /// The first of a set, and bit 0 is no signal.
    pub(super) fn first_of(set: u32) -> Option<Self> {
        let index = (set & !1).trailing_zeros().checked_sub(1)?;
        Self::ALL.get(usize::try_from(index).ok()?).copied()
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_abis() {
        for (index, signal) in (1..).zip(Signal::ALL) {
            assert_eq!(signal.number(), index);
            assert_eq!(Signal::first_of(signal.bit() | 1), Some(signal));
            assert_eq!(Numbering::Linux.signal(index.into()), Ok(Some(signal)));
        }
        assert_eq!(Signal::first_of(1), None);
        let preview1 = |number| Numbering::Preview1.signal(number);
        assert_eq!(preview1(15), Ok(Some(Signal::Term)));
        assert_eq!(preview1(16), Ok(Some(Signal::Chld)));
        assert_eq!(preview1(30), Ok(Some(Signal::Sys)));
        assert_eq!(preview1(31), Err(Errno::EINVAL));
        assert_eq!(Numbering::Preview1.number(Signal::Stkflt), None);
        for numbering in [Numbering::Linux, Numbering::Preview1] {
            assert_eq!(numbering.signal(0), Ok(None));
            assert_eq!(numbering.signal(32), Err(Errno::EINVAL));
            assert_eq!(numbering.signal(256 + 15), Err(Errno::EINVAL));
        }
    }
}
