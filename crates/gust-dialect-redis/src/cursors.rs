//! Where scans of stores go on. A store knows only keys, and clients only numbers, so the door keeps which is which for a while.

use std::collections::{HashMap, VecDeque};

use gust_task::ids;
use gust_types::{Label, ProjectName};
use parking_lot::Mutex;

/// Cursors of a project that are kept; the oldest go first.
const KEPT: usize = 1024;

/// The cursors of all projects.
#[derive(Default)]
pub(crate) struct Cursors(Mutex<HashMap<ProjectName, Kept>>);

#[derive(Default)]
struct Kept {
    after: HashMap<u64, (Label, String)>,
    order: VecDeque<u64>,
}

// === impl Cursors ===

impl Cursors {
    /// The number of a place in a store.
    pub(crate) fn remember(&self, project: &ProjectName, store: &Label, after: String) -> u64 {
        // Some clients read it as a number that has 53 bits.
        let number = (ids::random_u64() >> 12).max(1);
        let mut all = self.0.lock();
        let kept = all.entry(project.clone()).or_default();
        kept.after.insert(number, (store.clone(), after));
        kept.order.push_back(number);
        if kept.order.len() > KEPT
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.after.remove(&oldest);
        }
        number
    }

    pub(crate) fn find(&self, project: &ProjectName, store: &Label, number: u64) -> Option<String> {
        let all = self.0.lock();
        let (of, after) = all.get(project)?.after.get(&number)?;
        (of == store).then(|| after.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_of_one_store_and_go_by_age() {
        let cursors = Cursors::default();
        let (one, two) = (
            ProjectName::new("one").unwrap(),
            ProjectName::new("two").unwrap(),
        );
        let (a, b) = (Label::new("a").unwrap(), Label::new("b").unwrap());
        let first = cursors.remember(&one, &a, "k".into());
        assert_eq!(cursors.find(&one, &a, first).as_deref(), Some("k"));
        assert_eq!(cursors.find(&one, &b, first), None);
        assert_eq!(cursors.find(&two, &a, first), None);
        for _ in 0..KEPT {
            cursors.remember(&two, &a, "other".into());
        }
        assert!(
            cursors.find(&one, &a, first).is_some(),
            "others have their own"
        );
        for _ in 0..KEPT {
            cursors.remember(&one, &a, "k".into());
        }
        assert_eq!(cursors.find(&one, &a, first), None);
    }
}
