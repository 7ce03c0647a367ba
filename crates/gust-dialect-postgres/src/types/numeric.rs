//! PostgreSQL's decimal numbers in binary: digits of base 10,000.

use bytes::{Buf as _, BufMut as _};

const NEGATIVE: u16 = 0x4000;
/// The sign of what is no number.
pub(crate) const NAN: [u8; 2] = [0xc0, 0];
/// Digits that are read: more are not a number that SQLite keeps.
const MOST: usize = 1000;

/// Writes a number like `-12.5`.
pub(crate) fn put(body: &mut Vec<u8>, text: &str) {
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => (NEGATIVE, text),
        None => (0, text),
    };
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let whole = whole.trim_start_matches('0');
    let mut digits = Vec::new();
    let padded = format!("{}{whole}", "0".repeat((4 - whole.len() % 4) % 4));
    digits.extend(fours(&padded));
    let weight = digits.len() as i16 - 1;
    let padded = format!("{part}{}", "0".repeat((4 - part.len() % 4) % 4));
    digits.extend(fours(&padded));
    body.put_u16(digits.len() as u16);
    body.put_i16(weight);
    body.put_u16(sign);
    body.put_u16(part.len() as u16);
    for digit in digits {
        body.put_u16(digit);
    }
}

fn fours(digits: &str) -> impl Iterator<Item = u16> {
    let four = |four: &[u8]| {
        four.iter()
            .fold(0, |n, d| n * 10 + u16::from(d.saturating_sub(b'0')))
    };
    digits.as_bytes().chunks(4).map(four)
}

/// Reads one; nothing for what is no number.
pub(crate) fn read(mut bytes: &[u8]) -> Option<String> {
    if bytes.len() < 8 {
        return None;
    }
    let (count, weight) = (bytes.get_u16() as usize, i32::from(bytes.get_i16()));
    let (sign, scale) = (bytes.get_u16(), bytes.get_u16() as usize);
    if bytes.len() != 2 * count || !matches!(sign, 0 | NEGATIVE) || count > MOST || scale > MOST {
        return None;
    }
    if weight.unsigned_abs() as usize > MOST {
        return None;
    }
    let digits: Vec<u16> = (0..count).map(|_| bytes.get_u16()).collect();
    let at = |place: i32| {
        let index = usize::try_from(weight - place).ok();
        index.and_then(|n| digits.get(n)).copied().unwrap_or(0)
    };
    let mut text = String::new();
    for place in (0..=weight.max(0)).rev() {
        text.push_str(&format!("{:04}", at(place)));
    }
    let whole = match text.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    let mut text = format!("{}{whole}", if sign == NEGATIVE { "-" } else { "" });
    if scale > 0 {
        let places = 1..=scale.div_ceil(4) as i32;
        let part: String = places.map(|place| format!("{:04}", at(-place))).collect();
        text.push('.');
        text.push_str(part.get(..scale).unwrap_or(&part));
    }
    Some(text)
}
