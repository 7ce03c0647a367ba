//! The function's variables as every interface version sees them.

use super::View;

/// Why there is no value.
#[derive(Debug, PartialEq)]
pub(crate) enum Missing {
    /// Such a name cannot exist.
    InvalidName(String),
    /// The manifest gives this function no variable of this name.
    Undefined(String),
}

/// The value of a variable of this function.
pub(crate) fn get(view: &View<'_>, name: &str) -> Result<String, Missing> {
    check(name)?;
    let found = view.scope.bindings.variables.get(name);
    found
        .cloned()
        .ok_or_else(|| Missing::Undefined(format!("no variable of this name: {name:?}")))
}

/// Names are written in lower_snake_case: words that start with a letter, joined by single underscores.
fn check(name: &str) -> Result<(), Missing> {
    let word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_lowercase())
            && word
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
    };
    if name.split('_').all(word) {
        return Ok(());
    }
    Err(Missing::InvalidName(format!(
        "a variable's name is written in lower_snake_case: {name:?}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["a", "api_key", "a1_b2"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "_a", "a_", "a__b", "A", "1a", "a-b", "a b", "é"] {
            assert!(matches!(check(bad), Err(Missing::InvalidName(_))), "{bad}");
        }
    }
}
