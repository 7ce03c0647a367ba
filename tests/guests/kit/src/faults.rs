//! The ways to misbehave that need no host interface of a particular version.

use std::hint::black_box;
use std::io::Write;
use std::time::{Duration, Instant};

const MIB: usize = 1024 * 1024;
const PAGE: usize = 4096;

/// Burns processor time for ever.
pub fn spin() -> ! {
    let mut n = 0u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

/// Burns processor time for about `ms` milliseconds, looking at the clock rarely enough to stay busy in the guest.
pub fn spin_ms(ms: u64) {
    let end = Instant::now() + Duration::from_millis(ms);
    while Instant::now() < end {
        for n in 0..20_000u64 {
            black_box(n);
        }
    }
}

/// Allocates and touches `limit` MiB, or more and more; gives up as a program does when there is no memory left.
pub fn allocate(limit: Option<usize>) -> usize {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    while limit.is_none_or(|limit| kept.len() < limit) {
        kept.push(touched(Vec::with_capacity(MIB)));
    }
    kept.len()
}

/// Allocates and touches until there is no more, and lives on; returns how many MiB it got.
pub fn allocate_all() -> usize {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut block = Vec::new();
        if block.try_reserve_exact(MIB).is_err() || kept.try_reserve(1).is_err() {
            return kept.len();
        }
        kept.push(touched(block));
    }
}

fn touched(mut block: Vec<u8>) -> Vec<u8> {
    block.resize(MIB, 0);
    block.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
    black_box(block)
}

/// Calls itself until the stack is gone. Frames are small, so that it is the host's stack and not the guest's own.
pub fn recurse(depth: u64) -> u64 {
    if depth == u64::MAX {
        return 0;
    }
    black_box(recurse(depth + 1)).wrapping_add(depth)
}

/// Prints `mib` MiB to stdout in lines of 1 KiB.
pub fn print(mib: usize) {
    let mut line = [b'x'; 1024];
    line[1023] = b'\n';
    let chunk = line.repeat(64);
    let mut out = std::io::stdout().lock();
    for _ in 0..mib * 16 {
        if out.write_all(&chunk).is_err() {
            return;
        }
    }
    let _ = out.flush();
}

/// One line to stdout and one to stderr, not all of it ASCII.
pub fn log() {
    println!("to stdout: 你好，世界");
    eprintln!("to stderr: 出错了 (not really)");
}
