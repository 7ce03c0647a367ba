//! Shows every way to misbehave through `wasi:http@0.3.0`, chosen by path; `/ok` behaves.

use kit::faults;
use kit_p3::{Answered, text};
use wasip3::clocks::monotonic_clock;
use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::spawn_local;

mod twice;

struct Faults;

wasip3::http::service::export!(Faults);

impl Guest for Faults {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = kit_p3::path(&request);
        match path.parts()[..] {
            ["ok"] => text(200, "ok\n"),
            ["spin"] => faults::spin(),
            ["spin-ms", ms] => {
                faults::spin_ms(number(ms));
                text(200, "spun\n")
            }
            ["alloc"] => text(200, format!("{} MiB\n", faults::allocate(None))),
            ["alloc-all"] => text(200, format!("{} MiB\n", faults::allocate_all())),
            ["alloc", mib] => text(
                200,
                format!("{} MiB\n", faults::allocate(Some(number(mib) as usize))),
            ),
            ["sleep", ms] => {
                monotonic_clock::wait_for(number(ms) * 1_000_000).await;
                text(200, "slept\n")
            }
            ["trap"] => core::arch::wasm32::unreachable(),
            ["trap-after-first-byte"] => trap_after_first_byte(),
            ["trap-after-first-byte", ms] => {
                faults::spin_ms(number(ms));
                trap_after_first_byte()
            }
            ["no-response"] => Err(ErrorCode::InternalError(Some("no response".into()))),
            ["two-responses"] => twice::respond(),
            ["print", mib] => {
                faults::print(number(mib) as usize);
                text(200, "printed\n")
            }
            ["log"] => {
                faults::log();
                text(200, "logged\n")
            }
            ["recurse"] => text(200, format!("{}\n", faults::recurse(0))),
            ["exit"] => std::process::exit(3),
            ["exit", "ok"] => std::process::exit(0),
            ["table", n] => text(200, format!("{} handles\n", handles(number(n) as usize))),
            ["background", ms] => background(number(ms)),
            _ => text(404, "no such path\n"),
        }
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

fn trap_after_first_byte() -> Answered {
    kit_p3::stream(
        200,
        &[("content-type", "text/plain")],
        |mut writer| async move {
            let _ = writer.write(b"half of ".to_vec()).await;
            // Time for the host to send it on.
            monotonic_clock::wait_for(20_000_000).await;
            core::arch::wasm32::unreachable()
        },
    )
}

/// Holds `n` handles of the host at once, which fills its table for this instance.
fn handles(n: usize) -> usize {
    let held: Vec<_> = (0..n).map(|_| Fields::new()).collect();
    held.len()
}

/// Answers at once and goes on working for `ms` milliseconds: a line when it starts and one when it is done.
fn background(ms: u64) -> Answered {
    println!("background: begins, {ms} ms");
    spawn_local(async move {
        for _ in 0..ms.div_ceil(10) {
            monotonic_clock::wait_for(10_000_000).await;
        }
        println!("background: done");
    });
    text(200, "answered\n")
}
