//! Shows every way to misbehave through `wasi:http@0.2`, chosen by path; `/ok` behaves.

use std::time::Duration;

use kit::faults;
use kit_p2::{Answer, text};
use wasip2::clocks::monotonic_clock;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingResponse, ResponseOutparam};

struct Faults;

wasip2::http::proxy::export!(Faults);

impl Guest for Faults {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = kit_p2::path(&request);
        match path.parts()[..] {
            ["ok"] => text(out, 200, "ok\n"),
            ["spin"] => faults::spin(),
            ["spin-ms", ms] => {
                faults::spin_ms(number(ms));
                text(out, 200, "spun\n");
            }
            ["alloc"] => text(out, 200, &format!("{} MiB\n", faults::allocate(None))),
            ["alloc-all"] => text(out, 200, &format!("{} MiB\n", faults::allocate_all())),
            ["alloc", mib] => {
                let got = faults::allocate(Some(number(mib) as usize));
                text(out, 200, &format!("{got} MiB\n"));
            }
            ["sleep", ms] => {
                sleep_ms(number(ms));
                text(out, 200, "slept\n");
            }
            ["trap"] => core::arch::wasm32::unreachable(),
            ["trap-after-first-byte"] => trap_after_first_byte(out),
            ["trap-after-first-byte", ms] => {
                faults::spin_ms(number(ms));
                trap_after_first_byte(out)
            }
            ["no-response"] => {}
            ["two-responses"] => two_responses(out),
            ["print", mib] => {
                faults::print(number(mib) as usize);
                text(out, 200, "printed\n");
            }
            ["log"] => {
                faults::log();
                text(out, 200, "logged\n");
            }
            ["recurse"] => text(out, 200, &format!("{}\n", faults::recurse(0))),
            ["exit"] => std::process::exit(3),
            ["exit", "ok"] => std::process::exit(0),
            ["table", n] => text(
                out,
                200,
                &format!("{} handles\n", handles(number(n) as usize)),
            ),
            _ => text(out, 404, "no such path\n"),
        }
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or(0)
}

fn sleep_ms(ms: u64) {
    let nanos = Duration::from_millis(ms).as_nanos() as u64;
    monotonic_clock::subscribe_duration(nanos).block();
}

fn trap_after_first_byte(out: ResponseOutparam) -> ! {
    let answer = Answer::begin(out, 200, &[("content-type", "text/plain")]);
    let _ = answer.write(b"half of ").and_then(|()| answer.flush());
    // Time for the host to send it on.
    sleep_ms(20);
    core::arch::wasm32::unreachable()
}

/// The types allow one response; a copied handle number gets past them. The host must refuse the second use.
fn two_responses(out: ResponseOutparam) {
    // SAFETY: the copy names a handle that is gone by then, which is the fault to show.
    let again = unsafe { ResponseOutparam::from_handle(out.handle()) };
    text(out, 200, "first\n");
    ResponseOutparam::set(again, Ok(OutgoingResponse::new(Fields::new())));
}

/// Holds `n` handles of the host at once, which fills its table for this instance.
fn handles(n: usize) -> usize {
    let held: Vec<_> = (0..n).map(|_| Fields::new()).collect();
    held.len()
}
