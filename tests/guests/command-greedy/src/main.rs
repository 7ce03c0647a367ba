//! Shows a program that writes 64 MiB without asking how much it may write, to the stream that its first input byte
//! names: `o` for stdout, `e` for stderr.

use std::io::Read;

use wasip2::cli::{stderr, stdout};

fn main() {
    let mut which = [0];
    let read = std::io::stdin().read_exact(&mut which);
    let stream = match (read, which) {
        (Ok(()), [b'e']) => stderr::get_stderr(),
        _ => stdout::get_stdout(),
    };
    let piece = vec![b'x'; 1 << 20];
    for _ in 0..64 {
        let _ = stream.write(&piece);
    }
}
