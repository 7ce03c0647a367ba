//! Where what a function makes of an event comes from, so that loops end.

use super::Event;
use crate::{Blame, Error, Kind, Result};

/// The triggers that led to a call: what the function publishes or answers with is told of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// How many triggers, the one that makes this call included.
    pub hops: u32,
    /// Their names, commas between; of many the last.
    pub trail: String,
}

/// Bytes of a trail, whatever somebody has written into it.
const LONGEST: usize = 4096;

// === impl Cause ===

impl Cause {
    /// Of a call that this trigger makes for events: the one counts that has come the furthest.
    pub fn new<'a>(events: impl IntoIterator<Item = &'a Event>, trigger: &str) -> Self {
        let furthest = events.into_iter().max_by_key(|event| event.hops());
        let so_far = furthest.and_then(|event| event.attribute(Event::TRAIL));
        let trail = match so_far.map(|trail| trail.text()) {
            Some(trail) if !trail.is_empty() => format!("{trail},{trigger}"),
            _ => trigger.to_owned(),
        };
        Self {
            hops: furthest.map_or(0, Event::hops).saturating_add(1),
            trail: shortened(&trail).to_owned(),
        }
    }

    /// Refuses what would go on with a loop.
    pub fn leads_on(&self) -> Result<()> {
        if self.hops <= Event::MAX_HOPS {
            return Ok(());
        }
        // Up to the event, which has not led on yet.
        let before = self.trail.rsplit_once(',').map_or("", |(before, _)| before);
        let (hops, trail) = (self.hops - 1, before.replace(',', ", "));
        let text = format!("a loop: the event went through {hops} triggers: {trail}");
        Err(Error::new(Kind::Invalid, Blame::Function, text).hint(
            "give the function a case in which it publishes nothing, or filter its own events out",
        ))
    }

    /// What is published says so: extensions and their values.
    pub fn extensions(&self) -> [(&'static str, String); 2] {
        let hops = i32::try_from(self.hops).unwrap_or(i32::MAX);
        [
            (Event::HOPS, hops.to_string()),
            (Event::TRAIL, self.trail.clone()),
        ]
    }
}

/// The last names of a trail.
fn shortened(trail: &str) -> &str {
    let names = trail.bytes().rev().enumerate();
    let mut commas = names.filter(|(_, byte)| *byte == b',').map(|(n, _)| n);
    let many = commas.nth(Event::MAX_HOPS as usize);
    let kept = many.unwrap_or(trail.len()).min(LONGEST);
    let at = trail.ceil_char_boundary(trail.len() - kept);
    trail.get(at..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(hops: i32, trail: &str) -> Event {
        let event = Event::new("7", "/s", "t").unwrap();
        let event = event.with(Event::HOPS, hops).unwrap();
        event.with(Event::TRAIL, trail.to_owned()).unwrap()
    }

    #[test]
    fn each_trigger_is_counted_and_named() {
        let first = Cause::new([&Event::new("7", "/s", "t").unwrap()], "shop/a");
        assert_eq!((first.hops, &*first.trail), (1, "shop/a"));
        let (near, far) = (event(1, "shop/x"), event(2, "shop/a,shop/b"));
        let of_two = Cause::new([&near, &far], "shop/c");
        assert_eq!((of_two.hops, &*of_two.trail), (3, "shop/a,shop/b,shop/c"));
        assert_eq!(of_two.extensions()[0], ("gusthops", "3".to_owned()));
        assert!(of_two.leads_on().is_ok());
    }

    #[test]
    fn a_loop_ends_and_is_named() {
        let at = |hops| Cause::new([&event(hops, "shop/a,shop/b")], "shop/c");
        assert!(at(15).leads_on().is_ok());
        let error = at(16).leads_on().unwrap_err();
        assert_eq!(
            error.message,
            "a loop: the event went through 16 triggers: shop/a, shop/b"
        );
    }

    #[test]
    fn a_trail_stays_short() {
        let long = vec!["项目/触发器"; 40].join(",");
        let cause = Cause::new([&event(40, &long)], "last");
        assert_eq!(cause.trail.split(',').count(), 17);
        assert!(cause.trail.ends_with(",last"));
        let one = "长".repeat(4000);
        let cause = Cause::new([&event(1, &one)], "last");
        assert!(cause.trail.len() <= LONGEST && cause.trail.ends_with("长,last"));
    }
}
