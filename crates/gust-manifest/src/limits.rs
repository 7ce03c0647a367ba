//! How much a manifest may hold. Beyond these figures a file is a mistake or an attack.

/// Bytes of a manifest.
pub const MAX_MANIFEST: u64 = 1 << 20;

/// Functions of an app.
pub const MAX_FUNCTIONS: usize = 1_000;

/// Routes of an app.
pub const MAX_ROUTES: usize = 10_000;

/// Files of an app, over all functions and static routes.
pub const MAX_FILES: usize = 10_000;

/// Variables of an app.
pub const MAX_VARIABLES: usize = 1_000;

/// Triggers of an app, and queues that it names.
pub const MAX_TRIGGERS: usize = 1_000;

/// Folder entries that are looked at to find those files.
pub(crate) const MAX_ENTRIES: usize = 200_000;

/// Folders inside folders.
pub(crate) const MAX_DEPTH: usize = 64;
