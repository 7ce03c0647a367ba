//! The order in which schedules are looked at.

use std::cell::Cell;

use super::*;

#[test]
fn what_is_due_comes_out_in_order_and_the_rest_stays() {
    let mut line = Timeline::new();
    for (id, at) in [(1u32, 30), (2, 10), (3, 20), (4, 10), (5, 40)] {
        assert_eq!(line.insert(id, at), None);
    }
    assert_eq!(line.next_us(), Some(10));
    let due: Vec<_> = std::iter::from_fn(|| line.pop_due(30)).collect();
    assert_eq!(due, [(2, 10), (4, 10), (3, 20), (1, 30)]);
    assert_eq!((line.len(), line.next_us()), (1, Some(40)));
    assert_eq!(line.pop_due(39), None);
    assert_eq!(line.pop_due(u64::MAX), Some((5, 40)));
    assert!(line.is_empty() && line.next_us().is_none());
}

#[test]
fn an_id_is_there_once() {
    let mut line = Timeline::new();
    line.insert("a", 10);
    assert_eq!(line.insert("a", 30), Some(10));
    assert_eq!(line.insert("a", 20), Some(30));
    assert_eq!(line.len(), 1);
    assert_eq!(line.remove("a"), Some(20));
    assert_eq!(line.remove("a"), None);
    assert_eq!(line.pop_due(u64::MAX), None);
}

#[test]
fn it_says_what_a_plain_list_says() {
    let numbers = &mut Numbers(7);
    let (mut line, mut list) = (Timeline::new(), Vec::<(u64, u64)>::new());
    for _ in 0..20_000 {
        let (id, at) = (numbers.below(200), numbers.below(1000));
        match numbers.below(4) {
            0 | 1 => {
                let before = list
                    .iter()
                    .position(|(_, i)| *i == id)
                    .map(|p| list.swap_remove(p).0);
                list.push((at, id));
                assert_eq!(line.insert(id, at), before);
            }
            2 => {
                let before = list
                    .iter()
                    .position(|(_, i)| *i == id)
                    .map(|p| list.swap_remove(p).0);
                assert_eq!(line.remove(id), before);
            }
            _ => {
                let first = list.iter().copied().filter(|(t, _)| *t <= at).min();
                list.retain(|entry| Some(*entry) != first);
                assert_eq!(line.pop_due(at), first.map(|(t, i)| (i, t)));
            }
        }
        assert_eq!((line.len(), line.is_empty()), (list.len(), list.is_empty()));
    }
}

thread_local! {
    static COMPARED: Cell<u64> = const { Cell::new(0) };
}

/// An id that counts how often it is compared.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Counted(u32);

impl Ord for Counted {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        COMPARED.set(COMPARED.get() + 1);
        self.0.cmp(&other.0)
    }
}

impl PartialOrd for Counted {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[test]
fn ten_thousand_due_at_once_of_a_hundred_thousand_take_some_comparisons_each() {
    let mut line = Timeline::new();
    // Ids are compared where the times are the same: here nearly always.
    for id in 0..100_000u32 {
        let scattered = Counted(id.wrapping_mul(2_654_435_761));
        line.insert(scattered, u64::from(id % 10));
    }
    COMPARED.set(0);
    let popped: Vec<Counted> = std::iter::from_fn(|| line.pop_due(0))
        .map(|(id, _)| id)
        .collect();
    assert_eq!(popped.len(), 10_000);
    // The first is at the left end of the tree: only the map looks at its id.
    assert_eq!(COMPARED.get(), 0);
    for id in popped {
        line.insert(id, 9);
    }
    let each = COMPARED.get() / 10_000;
    assert!(each <= 100, "{each} comparisons to put one back");
}

#[test]
fn an_entry_is_small() {
    // Once in the tree and once in the map; both are filled to some two thirds.
    assert_eq!(size_of::<(u64, u32)>() + size_of::<(u32, u64)>(), 32);
}
