//! wrk as the load generator, and the server's CPU time while it runs.

use std::{process::Command, time::Duration};

use anyhow::{Context, Result, bail};

/// One run of wrk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Requests a second.
    pub(crate) rps: f64,
    /// CPU time of the server per request, microseconds, user and system.
    pub(crate) cpu_us: f64,
    /// 99th percentile of the latency, ms.
    pub(crate) p99_ms: f64,
    /// Answers that were not 2xx or 3xx, and broken connections.
    pub(crate) errors: u64,
}

/// 64 connections with keep-alive from one thread.
pub(crate) fn run(url: &str, host: Option<&str>, seconds: u32, server: u32) -> Result<Run> {
    let before = cpu_time(server)?;
    let mut command = Command::new("wrk");
    command.args(["-t1", "-c64", &format!("-d{seconds}"), "--latency"]);
    if let Some(host) = host {
        command.args(["-H", &format!("Host: {host}")]);
    }
    let output = command
        .arg(url)
        .output()
        .context("cannot run wrk; install the package wrk")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("wrk failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    let requests: f64 = find(&text, "requests in")
        .and_then(|l| l.split_whitespace().next()?.parse().ok())
        .unwrap_or(1.0);
    let cpu = (cpu_time(server)? - before).as_secs_f64() * 1e6 / requests.max(1.0);
    let bad = find(&text, "Non-2xx")
        .and_then(|l| l.rsplit(' ').next()?.parse().ok())
        .unwrap_or(0);
    let broken: u64 = find(&text, "Socket errors:")
        .map(|l| {
            l.split(|c: char| !c.is_ascii_digit())
                .filter_map(|n| n.parse::<u64>().ok())
                .sum()
        })
        .unwrap_or(0);
    Ok(Run {
        rps: find(&text, "Requests/sec:")
            .and_then(|l| l.rsplit(' ').next()?.parse().ok())
            .unwrap_or(0.0),
        cpu_us: cpu,
        p99_ms: find(&text, "99%")
            .and_then(|l| duration_ms(l.rsplit(' ').next()?))
            .unwrap_or(0.0),
        errors: bad + broken,
    })
}

fn find<'t>(text: &'t str, what: &str) -> Option<&'t str> {
    text.lines().map(str::trim).find(|l| l.contains(what))
}

fn duration_ms(text: &str) -> Option<f64> {
    let split = text.find(|c: char| c.is_ascii_alphabetic())?;
    let value: f64 = text[..split].parse().ok()?;
    Some(match &text[split..] {
        "us" => value / 1000.0,
        "ms" => value,
        "s" => value * 1000.0,
        _ => return None,
    })
}

/// User and system time of a process.
pub(crate) fn cpu_time(pid: u32) -> Result<Duration> {
    let stat =
        std::fs::read_to_string(format!("/proc/{pid}/stat")).context("the server is gone")?;
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: u64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|t| t.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_millis(
        ticks * 1000 / rustix::param::clock_ticks_per_second(),
    ))
}

/// Resident memory of a process, bytes.
pub(crate) fn rss(pid: u32) -> Result<u64> {
    let status =
        std::fs::read_to_string(format!("/proc/{pid}/status")).context("the server is gone")?;
    let line = status
        .lines()
        .find(|l| l.starts_with("VmRSS:"))
        .unwrap_or_default();
    Ok(line
        .split_whitespace()
        .nth(1)
        .and_then(|kb| kb.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024)
}
