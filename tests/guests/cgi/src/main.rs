//! A program that is told its request as CGI. By path: `/see` says what it was told, `/moved` goes elsewhere, `/gone` answers
//! 410, `/bare` writes no header, `/half` ends in the middle of one, `/fail` fails after it.

use std::io::{Read, Write};

fn main() -> std::io::Result<()> {
    let of = |name: &str| std::env::var(name).unwrap_or_default();
    let mut body = String::new();
    std::io::stdin().read_to_string(&mut body)?;
    let mut out = std::io::stdout();
    match of("PATH_INFO").as_str() {
        "/moved" => write!(out, "Location: /elsewhere\n\n"),
        "/gone" => write!(out, "Status: 410 Gone\r\nContent-Type: text/plain\r\n\r\ngone\n"),
        "/bare" => writeln!(out, "no header"),
        "/half" => write!(out, "Content-Type: text/plain\n"),
        "/fail" => {
            write!(out, "Content-Type: text/plain\n\nfirst")?;
            out.flush()?;
            std::process::exit(3);
        }
        _ => {
            write!(out, "Content-Type: text/plain; charset=utf-8\nX-Made-By: 程序\n\n")?;
            writeln!(out, "args {:?}", std::env::args().collect::<Vec<_>>())?;
            let mut all: Vec<_> = std::env::vars().collect();
            all.sort();
            for (name, value) in all {
                writeln!(out, "{name}={value}")?;
            }
            write!(out, "body {body}")
        }
    }
}
