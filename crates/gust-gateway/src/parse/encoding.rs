//! `Accept-Encoding`, as far as precompressed files need it.

/// A content coding that files may be stored in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// Brotli, stored as `.br`.
    Brotli,
    /// Gzip, stored as `.gz`.
    Gzip,
}

/// How welcome each coding is, in thousandths; 0 is unwelcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Accepted {
    brotli: u16,
    gzip: u16,
}

impl Coding {
    /// The word in headers.
    pub fn name(self) -> &'static str {
        match self {
            Coding::Brotli => "br",
            Coding::Gzip => "gzip",
        }
    }

    /// What a file's name has behind it when its bytes are in this coding.
    pub fn suffix(self) -> &'static str {
        match self {
            Coding::Brotli => ".br",
            Coding::Gzip => ".gz",
        }
    }
}

impl Accepted {
    /// The welcome codings, best first; brotli wins a tie, being smaller.
    pub fn best_first(self) -> impl Iterator<Item = Coding> {
        let pair = match self.gzip > self.brotli {
            true => [(Coding::Gzip, self.gzip), (Coding::Brotli, self.brotli)],
            false => [(Coding::Brotli, self.brotli), (Coding::Gzip, self.gzip)],
        };
        pair.into_iter()
            .filter(|(_, q)| *q > 0)
            .map(|(coding, _)| coding)
    }
}

/// Reads an `Accept-Encoding` header.
pub fn accepted_codings(header: &[u8]) -> Accepted {
    let (mut brotli, mut gzip, mut any) = (None, None, None);
    for item in header.split(|b| *b == b',') {
        let mut parts = item.split(|b| *b == b';');
        let name = parts.next().unwrap_or_default().trim_ascii();
        let q = parts.find_map(quality).unwrap_or(1000);
        let slot = match () {
            () if name.eq_ignore_ascii_case(b"br") => &mut brotli,
            () if name.eq_ignore_ascii_case(b"gzip") || name.eq_ignore_ascii_case(b"x-gzip") => {
                &mut gzip
            }
            () if name == b"*" => &mut any,
            () => continue,
        };
        *slot = Some(q);
    }
    let any = any.unwrap_or(0);
    Accepted {
        brotli: brotli.unwrap_or(any),
        gzip: gzip.unwrap_or(any),
    }
}

/// `q=0.5` in thousandths; a malformed weight makes the coding unwelcome, which is always safe.
fn quality(parameter: &[u8]) -> Option<u16> {
    let parameter = parameter.trim_ascii();
    let value = parameter
        .strip_prefix(b"q=")
        .or_else(|| parameter.strip_prefix(b"Q="))?;
    let (whole, fraction) = match value.iter().position(|b| *b == b'.') {
        Some(dot) => (value.get(..dot)?, value.get(dot + 1..)?),
        None => (value, &b""[..]),
    };
    if fraction.len() > 3 || !fraction.iter().all(u8::is_ascii_digit) {
        return Some(0);
    }
    let digits = fraction.iter().chain(b"000").take(3);
    let thousandths = digits.fold(0u16, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    Some(match (whole, thousandths) {
        (b"1", 0) => 1000,
        (b"0" | b"", q) => q,
        _ => 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_welcome_coding_comes_first() {
        use Coding::{Brotli, Gzip};
        let check = |header: &str, expected: &[Coding]| {
            let got: Vec<_> = accepted_codings(header.as_bytes()).best_first().collect();
            assert_eq!(got, expected, "{header}");
        };
        check("", &[]);
        check("gzip, deflate, br", &[Brotli, Gzip]);
        check("gzip", &[Gzip]);
        check("br;q=0.5, gzip;q=0.8", &[Gzip, Brotli]);
        check("br;q=0, gzip;q=0.001", &[Gzip]);
        check("*", &[Brotli, Gzip]);
        check("*;q=0.5, br;q=0", &[Gzip]);
        check("GZIP ; Q=1.000", &[Gzip]);
        check("gzip;q=2, br;q=x", &[]);
        check("identity, zstd", &[]);
    }
}
