//! A filter that knows nothing of sockets: its standard input and output are a connection. The first
//! line says what it is to do.

use std::io::{BufRead as _, Read as _, Write as _};

fn main() {
    let mut input = std::io::stdin().lock();
    let mut output = std::io::stdout().lock();
    let mut order = String::new();
    input.read_line(&mut order).expect("an order");
    let (order, argument) = order.trim_end().split_once(' ').unwrap_or((order.trim_end(), ""));
    match order {
        // Whatever comes goes back.
        "cat" => {
            std::io::copy(&mut input, &mut output).expect("a copy");
        }
        "env" => {
            let mut variables: Vec<_> = std::env::vars().collect();
            variables.sort();
            for (name, value) in variables {
                writeln!(output, "{name}={value}").expect("a line");
            }
        }
        "say" => writeln!(output, "{argument}").expect("a line"),
        "exit" => {
            writeln!(output, "going").expect("a line");
            output.flush().expect("a line");
            std::process::exit(argument.parse().expect("a code"));
        }
        "trap" => core::arch::wasm32::unreachable(),
        // Computes for ever.
        "spin" => loop {
            std::hint::black_box(());
        },
        // Says that it is there, and goes once the peer has ended.
        "wait" => {
            writeln!(output, "here").expect("a line");
            output.flush().expect("a line");
            input.read_to_end(&mut Vec::new()).expect("an end");
            writeln!(output, "{argument}").expect("a line");
        }
        // More than fits any buffer.
        "flood" => {
            let bytes = [b'x'; 65536];
            while output.write_all(&bytes).is_ok() {}
        }
        other => panic!("{other:?} is no order"),
    }
}
