//! `args_env_exit CODE [ARGS...]`: prints its arguments and its environment, and
//! ends with CODE.

fn main() {
    let args: Vec<String> = std::env::args().collect();
    for (n, arg) in args.iter().enumerate().skip(1) {
        println!("arg {n}: {arg}");
    }
    let mut variables: Vec<_> = std::env::vars().collect();
    variables.sort();
    for (name, value) in variables {
        println!("env {name}={value}");
    }
    let code = args.get(1).map_or(0, |code| code.parse().expect("an exit code"));
    std::process::exit(code);
}
