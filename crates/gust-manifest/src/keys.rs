//! Every key of both manifests: what the readers accept, and what the reference page says of it.

mod gust;
mod outside;
mod spin;

pub(crate) use gust::*;
pub(crate) use outside::*;
pub(crate) use spin::*;

/// Whose words a section is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Gust,
    Spin,
}

/// One kind of table.
pub(crate) struct Section {
    pub(crate) family: Family,
    /// As it is written in the file.
    pub(crate) title: &'static str,
    /// What it is for.
    pub(crate) about: &'static str,
    /// True when any key is fine, because keys are names.
    pub(crate) open: bool,
    pub(crate) keys: &'static [Key],
}

/// One key.
pub(crate) struct Key {
    pub(crate) name: &'static str,
    /// Its type and, in it, its unit.
    pub(crate) shape: &'static str,
    /// What holds when it is absent; empty when the section says so otherwise.
    pub(crate) default: &'static str,
    pub(crate) about: &'static str,
}

impl Family {
    pub(crate) fn sections(self) -> &'static [&'static Section] {
        match self {
            Family::Gust => GUST,
            Family::Spin => SPIN,
        }
    }
}

/// Short form for the tables below.
const fn key(
    name: &'static str,
    shape: &'static str,
    default: &'static str,
    about: &'static str,
) -> Key {
    Key {
        name,
        shape,
        default,
        about,
    }
}

/// A table whose keys are names that the user chooses.
pub(crate) static NAMES: Section = Section {
    family: Family::Gust,
    title: "",
    about: "",
    open: true,
    keys: &[],
};
