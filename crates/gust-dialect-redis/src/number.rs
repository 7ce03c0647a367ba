//! Numbers in text, as Redis reads and writes them.

use crate::fault::Fault;

/// Digits behind the point that counting with fractions keeps, as Redis does.
const SCALE: u32 = 17;

/// A whole number, written the one way it can be.
pub(crate) fn whole(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_plain = match digits {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    let text = std::str::from_utf8(text).ok().filter(|_| is_plain)?;
    text.parse().ok()
}

/// The same, or the error that commands have for it.
pub(crate) fn integer(text: &[u8]) -> Result<i64, Fault> {
    whole(text).ok_or(Fault::INTEGER)
}

/// A number with a fraction or infinity; not what is no number.
pub(crate) fn real(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let number: f64 = text.parse().ok()?;
    // Infinity has a name; what is only too large is no number.
    let is_too_large = number.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit());
    (!number.is_nan() && !is_too_large).then_some(number)
}

/// A number as text: whole ones plain, others with as many digits as tell them from their neighbours.
pub(crate) fn show(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if number == 0.0 {
        return if number.is_sign_negative() { "-0" } else { "0" }.to_owned();
    }
    // `{:e}` gives the digits and the power of ten.
    let text = format!("{number:e}");
    let power = text
        .split_once('e')
        .and_then(|(_, p)| p.parse::<i32>().ok());
    match power {
        Some(power) if !(-4..17).contains(&power) => {
            let (digits, _) = text.split_once('e').unwrap_or((&text, ""));
            let sign = if power < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", power.abs())
        }
        _ => format!("{number}"),
    }
}

/// The sum of two numbers in decimal digits, so that a tenth added ten times is one. `None` when it is none or infinite.
pub(crate) fn add(a: &[u8], b: &[u8]) -> Option<String> {
    let sum = real(a)? + real(b)?;
    if !sum.is_finite() {
        return None;
    }
    let exact = scaled(a).zip(scaled(b)).and_then(|(a, b)| a.checked_add(b));
    Some(exact.map_or_else(|| format!("{sum}"), unscaled))
}

/// A number times 10^17, if that is whole and not too large.
fn scaled(text: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(text).ok()?;
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    // What has an exponent is written without, as exactly as it is known.
    let plain = match digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        true => digits.to_owned(),
        false => digits.parse::<f64>().ok().map(|n| format!("{n}"))?,
    };
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let missing = (SCALE as usize).checked_sub(fraction.len())?;
    if whole.len() > 20 {
        return None;
    }
    let all = format!("{whole}{fraction}{}", "0".repeat(missing));
    all.parse::<i128>().ok().map(|number| sign * number)
}

fn unscaled(number: i128) -> String {
    let digits = format!("{:018}", number.unsigned_abs());
    let (whole, fraction) = digits.split_at(digits.len() - SCALE as usize);
    let fraction = fraction.trim_end_matches('0');
    let sign = if number < 0 { "-" } else { "" };
    match fraction {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_strict() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-0", None),
            ("+1", None),
            ("01", None),
            ("", None),
            ("-", None),
            (" 1", None),
            ("1.0", None),
        ] {
            assert_eq!(whole(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn numbers_are_shown_as_redis_does() {
        for (number, expected) in [
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (1e10, "10000000000"),
            (1e17, "1e+17"),
            (1.5e300, "1.5e+300"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(show(number), expected);
        }
    }

    #[test]
    fn fractions_add_in_decimal() {
        for (a, b, expected) in [
            ("0.1", "0.2", "0.3"),
            ("10.5", "1e-1", "10.6"),
            ("5.0e3", "-5000.5", "-0.5"),
            ("3", "-3.0", "0"),
            ("-.25", "-0.75", "-1"),
            ("9223372036854775807", "-2.5", "9223372036854775804.5"),
            ("1e300", "1", &format!("{}", 1e300)),
        ] {
            let sum = add(a.as_bytes(), b.as_bytes());
            assert_eq!(sum.as_deref(), Some(expected), "{a} {b}");
        }
        assert!(add(b"1.7e308", b"1.7e308").is_none());
        assert!(add(b"inf", b"-inf").is_none());
    }
}
