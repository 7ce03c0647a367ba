//! Shows a program, run once a call: prints arguments and environment, then its input; `EXIT_CODE` is how it ends. It fails
//! when its input does.

use std::io::{self, Read};
use std::process::ExitCode;

fn main() -> ExitCode {
    println!("args: {:?}", std::env::args().collect::<Vec<_>>());
    for (name, value) in std::env::vars() {
        println!("env: {name}={value}");
    }
    let mut input = String::new();
    if let Err(e) = io::stdin().read_to_string(&mut input) {
        eprintln!("stdin: {e}");
        return ExitCode::FAILURE;
    }
    println!("stdin: {input}");
    let code = std::env::var("EXIT_CODE")
        .ok()
        .and_then(|code| code.parse().ok());
    ExitCode::from(code.unwrap_or(0u8))
}
