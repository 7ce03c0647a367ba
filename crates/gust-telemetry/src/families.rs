//! Numbers with labels that another room counts: so much for each queue, trigger or topic.
//!
//! A [`Group`] is a kind of thing, a [`Row`] one of them with all its numbers. How many series a scrape has is bounded; a
//! thing is shown with all its numbers or not at all, and which are left out depends on their names alone.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder, metrics::MetricType};

use crate::registry::{Shape, number};

/// Series of a scrape, over all groups.
pub const MOST_SERIES: usize = 10_000;

/// Series of a group that is asked for at each scrape.
const MOST_ASKED: usize = 5_000;

/// A number that things of a kind have.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Its name; it gets `gust_` in front.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Whether it only grows.
    pub shape: Shape,
}

/// Things of one kind.
#[derive(Debug)]
pub struct Group {
    /// What the kind is called.
    pub kind: &'static str,
    /// The names of the labels that tell one thing from another.
    pub labels: &'static [&'static str],
    /// The numbers of each.
    pub families: &'static [Family],
    /// The things.
    pub rows: Vec<Row>,
    /// Things that whoever counts did not even look at.
    pub unseen: usize,
}

/// A thing and its numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// One value for each label.
    pub labels: Vec<String>,
    /// One number for each family; `None` where it has none.
    pub values: Vec<Option<f64>>,
}

/// What is shown. Clones are handles to the same.
#[derive(Clone, Default)]
pub struct Families(Arc<Mutex<Arc<Vec<Kept>>>>);

/// What is shown of a group.
#[derive(Debug)]
struct Kept {
    group: Group,
    left_out: usize,
}

/// A group that is asked for at each scrape.
pub(crate) struct GroupCollector(pub(crate) crate::registry::GroupSource);

impl fmt::Debug for GroupCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupCollector")
    }
}

impl Collector for GroupCollector {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let group = (self.0)();
        let kept = bounded(vec![group], MOST_ASKED);
        kept.iter().try_for_each(|kept| kept.encode(&mut to))
    }
}

#[derive(Debug)]
pub(crate) struct FamiliesCollector(pub(crate) Families);

// === impl Families ===

impl Families {
    /// Shows these from now on, instead of what was shown before.
    pub fn show(&self, groups: Vec<Group>) {
        *self.0.lock() = Arc::new(bounded(groups, MOST_SERIES));
    }
}

impl fmt::Debug for Families {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Families")
    }
}

/// Leaves out what is too much. Each group has its share, and what the small ones do not need is for the others.
fn bounded(mut groups: Vec<Group>, most: usize) -> Vec<Kept> {
    for group in &mut groups {
        group.rows.sort_by(|a, b| a.labels.cmp(&b.labels));
        // Twice the same series would be no valid text.
        group.rows.dedup_by(|a, b| a.labels == b.labels);
    }
    let mut smallest: Vec<&mut Group> = groups.iter_mut().collect();
    smallest.sort_by_key(|group| group.rows.len() * group.families.len());
    let (mut left, mut shares) = (most, smallest.len());
    for group in smallest {
        let each = group.families.len().max(1);
        let fit = left / shares / each;
        group.unseen += group.rows.len().saturating_sub(fit);
        group.rows.truncate(fit);
        left -= group.rows.len() * each;
        shares -= 1;
    }
    let kept = groups.into_iter().map(|group| Kept {
        left_out: group.unseen,
        group,
    });
    kept.collect()
}

impl Collector for FamiliesCollector {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let kept = self.0.0.lock().clone();
        for kept in kept.iter() {
            kept.encode(&mut to)?;
        }
        if kept.is_empty() {
            return Ok(());
        }
        let help = "Things that this scrape says nothing of because there are too many";
        let mut family = to.encode_descriptor("left_out", help, None, MetricType::Gauge)?;
        for Kept { group, left_out } in kept.iter() {
            let labels = [("kind", group.kind)];
            number(
                family.encode_family(&labels)?,
                Shape::Gauge,
                *left_out as f64,
            )?;
        }
        Ok(())
    }
}

impl Kept {
    fn encode(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Group {
            labels,
            families,
            rows,
            ..
        } = &self.group;
        for (n, Family { name, help, shape }) in families.iter().enumerate() {
            let mut family = to.encode_descriptor(name, help, None, shape.kind())?;
            for row in rows {
                let Some(value) = row.values.get(n).copied().flatten() else {
                    continue;
                };
                let labels: Vec<(&str, &str)> = labels
                    .iter()
                    .copied()
                    .zip(row.labels.iter().map(String::as_str))
                    .collect();
                number(family.encode_family(&labels)?, *shape, value)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAMILIES: &[Family] = &[
        Family {
            name: "a",
            help: "A",
            shape: Shape::Gauge,
        },
        Family {
            name: "b",
            help: "B",
            shape: Shape::Counter,
        },
    ];

    fn group(kind: &'static str, names: impl Iterator<Item = usize>) -> Group {
        let row = |n| Row {
            labels: vec![format!("{n:05}")],
            values: vec![Some(1.0), None],
        };
        Group {
            kind,
            labels: &["name"],
            families: FAMILIES,
            rows: names.map(row).collect(),
            unseen: 0,
        }
    }

    fn check(sizes: [usize; 3], most: usize, expected: [(usize, usize); 3]) {
        let groups = sizes.map(|size| group("k", 0..size)).into();
        let bounded = bounded(groups, most);
        let got: Vec<_> = bounded
            .iter()
            .map(|kept| (kept.group.rows.len(), kept.left_out))
            .collect();
        assert_eq!(got, expected, "{sizes:?} {most}");
    }

    #[test]
    fn each_group_has_its_share_and_what_others_leave() {
        check([5, 5, 5], 30, [(5, 0), (5, 0), (5, 0)]);
        check([100, 5, 5], 30, [(5, 95), (5, 0), (5, 0)]);
        check([1, 100, 100], 30, [(1, 0), (7, 93), (7, 93)]);
        check([0, 0, 100], 30, [(0, 0), (0, 0), (15, 85)]);
        check([100, 1, 0], 30, [(14, 86), (1, 0), (0, 0)]);
    }

    #[test]
    fn which_are_left_out_depends_on_their_names_alone() {
        let names = |groups| {
            let kept: Vec<Kept> = bounded(groups, 10);
            kept[0].group.rows.clone()
        };
        let forth = names(vec![group("k", 0..50)]);
        assert_eq!(forth, names(vec![group("k", (0..50).rev())]));
        assert_eq!(forth[4].labels, ["00004"]);
    }
}
