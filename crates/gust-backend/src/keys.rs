//! Who may open a project's resources from outside: access keys, as the doors that speak other platforms' protocols
//! know them.

use gust_types::ProjectName;

/// Knows access keys. Asked with every request, so it answers from memory.
pub trait Keys: Send + Sync {
    /// The key of this id, if it is good.
    fn find(&self, id: &str) -> Option<AccessKey>;
}

/// A key that requests are signed with, or a password.
#[derive(Clone)]
pub struct AccessKey {
    /// Whose resources it opens.
    pub project: ProjectName,
    /// What signatures are made with.
    pub secret: String,
}

impl std::fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessKey")
            .field("project", &self.project)
            .finish_non_exhaustive()
    }
}
