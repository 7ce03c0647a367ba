//! Any text as an expression over an event: never a panic, always a value; and patterns match what a matcher that is
//! plainly right matches.
#![no_main]

use gust_events::filter::{Filter, FilterSpec, sql::Expression};
use gust_types::Event;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    // The first line is an attribute, what follows the expression.
    let (subject, expression) = text.split_once('\n').unwrap_or(("", text));
    let bare = Event::new("1", "/shop", "order.placed").expect("a valid event");
    let full = bare
        .clone()
        .with("urgent", true)
        .expect("a valid attribute");
    let full = full.with("weight", -7).expect("a valid attribute");
    let full = full.clone().with("subject", subject).unwrap_or(full);
    expressions(expression, [&bare, &full]);
    patterns(full.subject().unwrap_or_default(), expression, &full);
});

fn expressions(text: &str, events: [&Event; 2]) {
    let read = match Expression::parse(text) {
        Ok(read) => read,
        Err(error) => return assert!(!error.message.is_empty()),
    };
    for event in events {
        let (value, fault) = read.evaluate(event);
        assert_eq!(
            read.evaluate(event),
            (value, fault.clone()),
            "the same each time"
        );
        assert!(fault.is_none() || !read.matches(event));
    }
    // In parentheses it is the same, unless it is too long or too deep with them.
    if let Ok(same) = Expression::parse(&format!("({text})")) {
        for event in events {
            assert_eq!(same.evaluate(event), read.evaluate(event));
        }
    }
    if let Ok(filter) = Filter::new(&[FilterSpec::Sql(text.to_owned())]) {
        for event in events {
            assert_eq!(filter.matches(event), read.matches(event));
        }
    }
}

fn patterns(subject: &str, pattern: &str, event: &Event) {
    let small = subject.len() * pattern.len() < 100_000;
    if !small || pattern.contains(['\'', '\\']) || subject.is_empty() {
        return;
    }
    let Ok(like) = Expression::parse(&format!("subject LIKE '{pattern}'")) else {
        return;
    };
    assert_eq!(like.matches(event), plainly(subject, pattern));
}

/// Where in the text the pattern so far may end.
fn plainly(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let mut ends = vec![false; text.len() + 1];
    ends[0] = true;
    for c in pattern.chars() {
        let mut next = vec![false; text.len() + 1];
        for at in 0..=text.len() {
            let step = at > 0 && ends[at - 1] && (c == '_' || text[at - 1] == c);
            let skip = c == '%' && (ends[at] || at > 0 && next[at - 1]);
            next[at] = if c == '%' { skip } else { step };
        }
        ends = next;
    }
    ends[text.len()]
}
