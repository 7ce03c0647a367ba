//! Time zones by their IANA names.

use chrono_tz::{TZ_VARIANTS, Tz};
use gust_types::{Error, Result};

/// Longer than any name.
const NAME_MAX: usize = 64;

pub(super) fn parse(name: &str) -> Result<Tz> {
    name.parse().map_err(|_| {
        let hint = match nearest(name) {
            Some(near) => format!("did you mean {near:?}?"),
            None => {
                "write an IANA name such as \"Europe/Berlin\", \"Asia/Shanghai\" or \"UTC\"".into()
            }
        };
        Error::invalid(format!("no such time zone: {name:?}")).hint(hint)
    })
}

/// The name that was meant: other letters in capitals, a city alone, or a slip of the finger.
fn nearest(name: &str) -> Option<&'static str> {
    if name.len() > NAME_MAX {
        return None;
    }
    let name = name.trim().to_ascii_lowercase().replace(' ', "_");
    let most = (name.chars().count() / 4).clamp(1, 3);
    let distance = |known: &str| {
        let known = known.to_ascii_lowercase();
        let city = known.rsplit('/').next().unwrap_or_default();
        if city == name {
            return 0;
        }
        strsim::osa_distance(&name, &known)
    };
    TZ_VARIANTS
        .iter()
        .map(|zone| (distance(zone.name()), zone.name()))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}
