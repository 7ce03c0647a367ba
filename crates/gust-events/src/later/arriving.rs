//! Bodies on their way in: each is kept in memory until it is whole, and whoever sends may send slowly.

use std::collections::HashMap;

use gust_types::{Error, ProjectName, Result};
use parking_lot::Mutex;

/// Bodies at once, of all projects.
const ALL: usize = 256;
/// Of them, those of one project.
const OWN: usize = 64;

/// How many there are, by project.
#[derive(Default)]
pub(super) struct Arriving(Mutex<HashMap<ProjectName, usize>>);

/// Room for one.
pub(super) struct Room<'a> {
    arriving: &'a Arriving,
    project: ProjectName,
}

// === impl Arriving ===

impl Arriving {
    /// Room for a body, if there is some.
    pub(super) fn room(&self, project: &ProjectName) -> Result<Room<'_>> {
        let mut there = self.0.lock();
        let all: usize = there.values().sum();
        let own = there.get(project).copied().unwrap_or_default();
        if all >= ALL || own >= OWN {
            let text = "too many calls that are made later are on their way in";
            return Err(Error::unavailable(text).hint("send it again in a moment"));
        }
        *there.entry(project.clone()).or_default() += 1;
        Ok(Room {
            arriving: self,
            project: project.clone(),
        })
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        let mut there = self.arriving.0.lock();
        if let Some(own) = there.get_mut(&self.project) {
            *own -= 1;
            if *own == 0 {
                there.remove(&self.project);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_project_leaves_room_for_others() {
        let arriving = Arriving::default();
        let (one, two) = (
            ProjectName::new("one").unwrap(),
            ProjectName::new("two").unwrap(),
        );
        let full: Vec<_> = (0..OWN).map(|_| arriving.room(&one).unwrap()).collect();
        assert!(arriving.room(&one).is_err());
        drop(arriving.room(&two).unwrap());
        drop(full);
        assert!(arriving.room(&one).is_ok());
        assert!(arriving.0.lock().is_empty());
    }
}
