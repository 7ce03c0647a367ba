//! What a usage record costs the thread that settles a call, and what a year of them costs the disk.
//!
//! `cargo run --release -p gust-backend-local --example meter_bench -- [--threads 2] [--seconds 5] [--json]`

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for people"
)]

use std::{path::Path, sync::Arc, time::Duration};

use gust_backend_local::{LocalLedger, ledger::Settings};
use gust_meter::{Ledger as _, Meter as _, suite};
use gust_task::clock;
use gust_types::{Error, Result, Usage};

struct Arguments {
    threads: usize,
    seconds: u64,
    json: bool,
}

fn arguments() -> Result<Arguments> {
    let mut parsed = Arguments {
        threads: 2,
        seconds: 5,
        json: false,
    };
    let mut given = std::env::args().skip(1);
    while let Some(argument) = given.next() {
        let mut number = || {
            let text = given.next().unwrap_or_default();
            text.parse::<u64>()
                .map_err(|_| Error::invalid(format!("not a number: {text:?}")))
        };
        match argument.as_str() {
            "--threads" => parsed.threads = number()? as usize,
            "--seconds" => parsed.seconds = number()?,
            "--json" => parsed.json = true,
            other => return Err(Error::invalid(format!("not an option: {other:?}"))),
        }
    }
    Ok(parsed)
}

/// Records at a steady 20,000 a second until the time is up; answers records and the nanoseconds spent on them.
fn record(ledger: &LocalLedger, template: &Usage, until: std::time::Instant) -> (u64, u64) {
    let (mut records, mut nanos) = (0u64, 0u64);
    while clock::now() < until {
        let batch: Vec<_> = (0..200).map(|_| template.clone()).collect();
        let now_us = clock::unix_micros();
        let start = clock::now();
        for mut usage in batch {
            usage.start_us = now_us;
            ledger.record(usage);
            records += 1;
        }
        nanos += start.elapsed().as_nanos() as u64;
        std::thread::sleep(Duration::from_millis(10).saturating_sub(start.elapsed()));
    }
    (records, nanos)
}

async fn run(arguments: Arguments) -> Result<()> {
    let folder = tempfile::tempdir().map_err(|e| Error::internal("no folder").because(e))?;
    let ledger = LocalLedger::open(folder.path(), Settings::default())?;
    let until = clock::now() + Duration::from_secs(arguments.seconds);
    let cpu = process_cpu();
    let threads: Vec<_> = (0..arguments.threads as u64)
        .map(|n| {
            let ledger = Arc::clone(&ledger);
            let template = suite::usage("bench", &format!("f{n}"), 1000 + n, 0);
            std::thread::spawn(move || record(&ledger, &template, until))
        })
        .collect();
    let (mut records, mut nanos) = (0, 0);
    for thread in threads {
        let (r, n) = thread
            .join()
            .map_err(|_| Error::internal("a thread panicked"))?;
        (records, nanos) = (records + r, nanos + n);
    }
    ledger.flush().await?;
    let cpu_ns = (process_cpu() - cpu).as_nanos() as u64 / records;
    let stats = ledger.stats();
    let verified = ledger.verify().await?;
    let right = verified.is_ok() && verified.records == records && stats.unkept == 0;
    let bytes = bytes_below(&folder.path().join("records")) / records;
    let ns = nanos / records;
    if arguments.json {
        println!(
            r#"{{"threads":{},"records":{records},"ns_per_record":{ns},"cpu_ns_per_record_all_threads":{cpu_ns},"bytes_per_record":{bytes},"syncs":{},"verified":{right}}}"#,
            arguments.threads, stats.syncs,
        );
    } else {
        println!(
            "{records} records by {} threads: {ns} ns each for the settling thread, {cpu_ns} ns CPU in all, {bytes} bytes on the disk, {} syncs, verified: {right}",
            arguments.threads, stats.syncs,
        );
    }
    Ok(())
}

fn process_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn bytes_below(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .filter_map(|f| f.metadata().ok())
        .map(|m| m.len())
        .sum()
}

fn main() -> std::process::ExitCode {
    let ran = tokio::runtime::Runtime::new()
        .map_err(|e| Error::internal("no runtime").because(e))
        .and_then(|runtime| runtime.block_on(run(arguments()?)));
    match ran {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", error.chain());
            std::process::ExitCode::FAILURE
        }
    }
}
