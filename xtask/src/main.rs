//! The project's own commands: `cargo xtask <command>`. A table of contents; each command is a file.

#![expect(
    clippy::disallowed_methods,
    reason = "a program beside the platform: no clock to hand in"
)]

mod bench;
mod clients;
mod demo;
mod docs;
mod guests;
mod layers;
mod promises;
mod tests;
mod tools;

use std::process::ExitCode;

const HELP: &str = "\
cargo xtask <command>

  demo [--keep]               build, start a node, deploy the example, call it, let it sleep, wake it, show the bill
  test [--long] [ring ...]    install what the tests need and run the rings house, unit and scenario; by name also promise,
                              which measures and wants a quiet machine
  bench [name ...] [--json]   measure side by side with peers (http, cold, density, overload, kv, events)
  guests [name ...] [--rust-only]
                              build the guest programs of tests/guests into target/guests
  clients                     install the clients of others that scenarios drive into target/clients
  layers                      check that crates import only downwards
  docs                        check that the texts name every crate and only paths that exist
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next().unwrap_or_default();
    let rest: Vec<String> = args.collect();
    let result = match command.as_str() {
        "demo" => demo::run(&rest),
        "test" => tests::run(&rest),
        "bench" => bench::run(&rest),
        "guests" => guests::run(guest_args(&rest)),
        "clients" => clients::run(),
        "layers" => layers::run(),
        "docs" => docs::run(),
        "" | "help" | "-h" | "--help" => {
            println!("{HELP}");
            Ok(())
        }
        other => Err(anyhow::anyhow!("unknown command: {other}\n\n{HELP}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn guest_args(rest: &[String]) -> guests::GuestArgs {
    guests::GuestArgs {
        names: rest
            .iter()
            .filter(|a| !a.starts_with("--"))
            .cloned()
            .collect(),
        rust_only: rest.iter().any(|a| a == "--rust-only"),
    }
}
