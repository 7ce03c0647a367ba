//! Room in memory for bodies, in three parts, so that large ones do not keep small ones out, nor one project all others.
//!
//! Bodies that nobody has proven to have signed have the smallest share: who knows only the id of a key takes no more.

use std::{collections::HashMap, sync::Arc};

use gust_types::ProjectName;
use parking_lot::Mutex;

/// Bytes of a body that counts as small.
pub(crate) const SMALL: usize = 64 << 10;
/// Bytes of all small requests, of all large ones, and of all answers that are not small.
const PARTS: [usize; 3] = [32 << 20, 160 << 20, 64 << 20];

/// What room is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Small,
    Large,
    Answer,
}

/// Room, and who has how much of it.
#[derive(Default)]
pub(crate) struct Memory(Mutex<Used>);

#[derive(Default)]
struct Used {
    all: [usize; 3],
    projects: HashMap<ProjectName, [usize; 3]>,
}

/// Room that is somebody's until this goes.
pub(crate) struct Room {
    memory: Arc<Memory>,
    project: ProjectName,
    part: Part,
    bytes: usize,
}

// === impl Memory ===

impl Memory {
    /// Room for a body that comes; it grows as bytes arrive.
    pub(crate) fn body(self: &Arc<Self>, project: &ProjectName) -> Room {
        self.room(project, Part::Small)
    }

    /// Whether a project may ask for what has a large answer.
    pub(crate) fn answers(&self, project: &ProjectName) -> bool {
        self.0.lock().fits(project, Part::Answer, 1, 2)
    }

    /// Room for an answer. It is there: what was done is told.
    pub(crate) fn answer(self: &Arc<Self>, project: &ProjectName, bytes: usize) -> Option<Room> {
        if bytes <= SMALL {
            return None;
        }
        let mut room = self.room(project, Part::Answer);
        self.0.lock().add(project, Part::Answer, bytes);
        room.bytes = bytes;
        Some(room)
    }

    fn room(self: &Arc<Self>, project: &ProjectName, part: Part) -> Room {
        Room {
            memory: self.clone(),
            project: project.clone(),
            part,
            bytes: 0,
        }
    }
}

// === impl Used ===

impl Used {
    /// Whether there are so many bytes more, and for one who gets one in `share` of a part.
    fn fits(&self, project: &ProjectName, part: Part, bytes: usize, share: usize) -> bool {
        let theirs = self.projects.get(project).copied().unwrap_or_default();
        let (all, theirs, most) = (part.of(self.all), part.of(theirs), part.of(PARTS));
        all + bytes <= most && theirs + bytes <= most / share
    }

    fn add(&mut self, project: &ProjectName, part: Part, bytes: usize) {
        let theirs = self.projects.entry(project.clone()).or_default();
        *part.mutable(theirs) += bytes;
        *part.mutable(&mut self.all) += bytes;
    }

    fn give_back(&mut self, project: &ProjectName, part: Part, bytes: usize) {
        let all = part.mutable(&mut self.all);
        *all = all.saturating_sub(bytes);
        if let Some(theirs) = self.projects.get_mut(project) {
            let of = part.mutable(theirs);
            *of = of.saturating_sub(bytes);
            if *theirs == [0; 3] {
                self.projects.remove(project);
            }
        }
    }
}

// === impl Part ===

impl Part {
    fn of(self, [small, large, answers]: [usize; 3]) -> usize {
        match self {
            Self::Small => small,
            Self::Large => large,
            Self::Answer => answers,
        }
    }

    fn mutable(self, [small, large, answers]: &mut [usize; 3]) -> &mut usize {
        match self {
            Self::Small => small,
            Self::Large => large,
            Self::Answer => answers,
        }
    }
}

// === impl Room ===

impl Room {
    /// Makes it as large as this, if there is room; one that is `proven` to be of its project gets more of it.
    pub(crate) fn grow(&mut self, to: usize, proven: bool) -> bool {
        let share = if proven { 2 } else { 4 };
        let mut used = self.memory.0.lock();
        let stays = self.part == Part::Large || to <= SMALL;
        if stays && used.fits(&self.project, self.part, to - self.bytes.min(to), share) {
            used.add(&self.project, self.part, to - self.bytes.min(to));
            self.bytes = self.bytes.max(to);
            return true;
        }
        if self.part != Part::Small || !used.fits(&self.project, Part::Large, to, share) {
            return false;
        }
        used.give_back(&self.project, self.part, self.bytes);
        used.add(&self.project, Part::Large, to);
        (self.part, self.bytes) = (Part::Large, to);
        true
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut used = self.memory.0.lock();
        used.give_back(&self.project, self.part, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(name: &str) -> ProjectName {
        ProjectName::new(name).unwrap()
    }

    #[test]
    fn one_project_leaves_room_for_others_and_large_bodies_for_small_ones() {
        let memory = Arc::new(Memory::default());
        let (one, two) = (project("one"), project("two"));
        let mut rooms = Vec::new();
        let mut fill = |project: &ProjectName, bytes: usize, proven: bool| {
            let mut count = 0;
            loop {
                let mut room = memory.body(project);
                if !room.grow(bytes.min(SMALL), proven) || !room.grow(bytes, proven) {
                    return count;
                }
                rooms.push(room);
                count += 1;
            }
        };
        assert_eq!(fill(&one, 4 << 20, false), 10);
        assert_eq!(fill(&one, 4 << 20, true), 10);
        assert_eq!(fill(&two, 4 << 20, true), 20);
        assert_eq!(fill(&one, SMALL, false), 128);
        assert_eq!(fill(&one, SMALL, true), 128);
        assert_eq!(fill(&two, SMALL, false), 128);
        drop(rooms);
        assert!(memory.0.lock().projects.is_empty());
        assert_eq!(memory.0.lock().all, [0; 3]);
    }

    #[test]
    fn an_answer_finds_room_and_the_next_question_does_not() {
        let memory = Arc::new(Memory::default());
        let (one, two) = (project("one"), project("two"));
        assert!(memory.answer(&one, SMALL).is_none());
        let large = memory.answer(&one, 100 << 20).unwrap();
        assert!(!memory.answers(&one) && !memory.answers(&two));
        drop(large);
        let large = memory.answer(&one, 32 << 20).unwrap();
        assert!(!memory.answers(&one) && memory.answers(&two));
        drop(large);
        assert!(memory.answers(&one));
    }
}
