//! How a guest reports: it says what differs, and ends with 1.

/// Ends the program with 1 and a line, unless both sides are equal.
#[macro_export]
macro_rules! check_eq {
    ($got:expr, $expected:expr $(, $($why:tt)+)?) => {{
        let (got, expected) = (&$got, &$expected);
        if *got != *expected {
            #[allow(unused_mut, unused_assignments)]
            let mut why = String::new();
            $(why = format!(" ({})", format_args!($($why)+));)?
            eprintln!(
                "FAIL {}:{}: {}: expected {:?} got {:?}{}",
                file!(), line!(), stringify!($got), expected, got, why
            );
            std::process::exit(1);
        }
    }};
}

/// Ends the program with 1 and a line, unless the condition holds.
#[macro_export]
macro_rules! check {
    ($condition:expr, $($why:tt)+) => {
        if !$condition {
            eprintln!(
                "FAIL {}:{}: expected {} ({})",
                file!(), line!(), stringify!($condition), format_args!($($why)+)
            );
            std::process::exit(1);
        }
    };
}

/// The value of an outcome that must be a success.
#[macro_export]
macro_rules! check_ok {
    ($call:expr) => {
        match $call {
            Ok(value) => value,
            Err(error) => {
                eprintln!(
                    "FAIL {}:{}: {}: expected success got {:?}",
                    file!(),
                    line!(),
                    stringify!($call),
                    error
                );
                std::process::exit(1);
            }
        }
    };
}
