//! Names people give to things, checked once where they come in.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::Error;

/// The longest name, so that `<function>.<app>` labels stay within a DNS label of 63 bytes.
pub const MAX_NAME: usize = 63;

/// Rules of a DNS label: lower-case letters, digits and `-`, starting with a letter, not ending in `-`.
fn check_dns(what: &str, name: &str) -> Result<(), Error> {
    let fault = |why: &str| {
        Err(Error::invalid(format!("{what} {why}: {name:?}")).hint(
            "use lower-case letters, digits and '-', start with a letter, 63 characters at most",
        ))
    };
    if name.is_empty() {
        return fault("is empty");
    }
    if name.len() > MAX_NAME {
        return fault("is longer than 63 characters");
    }
    if !name.as_bytes()[0].is_ascii_lowercase() {
        return fault("does not start with a lower-case letter");
    }
    if name.ends_with('-') {
        return fault("ends with '-'");
    }
    if let Some(c) = name
        .chars()
        .find(|c| !(c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-'))
    {
        return fault(&format!("has the character {c:?}"));
    }
    Ok(())
}

/// Rules of a label: letters, digits, `-` and `_`, starting with a letter.
fn check_label(what: &str, name: &str) -> Result<(), Error> {
    let ok = !name.is_empty()
        && name.len() <= MAX_NAME
        && name.as_bytes()[0].is_ascii_alphabetic()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if ok {
        return Ok(());
    }
    Err(
        Error::invalid(format!("{what} is not a valid label: {name:?}"))
            .hint("use letters, digits, '-' and '_', start with a letter, 63 characters at most"),
    )
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks and keeps the name.
            pub fn new(name: impl AsRef<str>) -> Result<Self, Error> {
                $check($what, name.as_ref())?;
                Ok(Self(name.as_ref().into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = Error;
            fn try_from(name: String) -> Result<Self, Error> {
                Self::new(name)
            }
        }

        impl std::str::FromStr for $name {
            type Err = Error;
            fn from_str(name: &str) -> Result<Self, Error> {
                Self::new(name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.to_string()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// A tenant. `default` exists from the start.
    ProjectName, "project name", check_dns
);
name!(
    /// What one manifest describes.
    AppName, "app name", check_dns
);
name!(
    /// A named piece of code in an app.
    FunctionName, "function name", check_dns
);
name!(
    /// The app's own name for a resource.
    Label, "label", check_label
);

impl Label {
    /// The name of something that the platform keeps for itself: a label with a dot before it, which nobody else can
    /// give.
    pub fn reserved(name: &str) -> Self {
        Self(format!(".{name}").into())
    }
}

impl ProjectName {
    /// The project that exists from the start.
    pub fn default_project() -> Self {
        Self("default".into())
    }
}

/// Where a function lives: project, app, name. Compared and hashed as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FunctionKey {
    /// The tenant.
    pub project: ProjectName,
    /// The app.
    pub app: AppName,
    /// The function.
    pub function: FunctionName,
}

impl fmt::Display for FunctionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.project, self.app, self.function)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "hello", "a1-b2", &"x".repeat(63)] {
            assert!(AppName::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "1a",
            "a_b",
            "a.b",
            "你好",
            &"x".repeat(64),
        ] {
            let error = AppName::new(bad).unwrap_err();
            assert_eq!(error.kind, crate::Kind::Invalid, "{bad}");
        }
    }

    #[test]
    fn labels_allow_underscores() {
        assert!(Label::new("my_store-2").is_ok());
        assert!(Label::new("2nd").is_err());
        assert!(Label::new("../etc").is_err());
    }
}
