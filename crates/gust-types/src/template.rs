//! `{{ name }}` in manifest values, filled from the app's variables.

use std::collections::BTreeMap;

use crate::Error;

/// Replaces each `{{ name }}` by the value of that variable.
pub fn expand(template: &str, variables: &BTreeMap<String, String>) -> Result<String, Error> {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find("{{") {
        out.push_str(&rest[..start]);
        let after = &rest[start + 2..];
        let end = after
            .find("}}")
            .ok_or_else(|| Error::invalid(format!("'{{{{' without '}}}}' in: {template:?}")))?;
        let name = after[..end].trim();
        let value = variables.get(name).ok_or_else(|| {
            Error::invalid(format!("variable is not set: {name:?}")).hint(format!(
                "give it a default in the manifest, or set it with: gust secret set {name} (for gust up: --variable {name}=VALUE)"
            ))
        })?;
        out.push_str(value);
        rest = &after[end + 2..];
    }
    out.push_str(rest);
    Ok(out)
}

/// The names of the variables that a template mentions.
pub fn names(template: &str) -> Vec<&str> {
    template
        .split("{{")
        .skip(1)
        .filter_map(|part| part.split_once("}}").map(|(name, _)| name.trim()))
        .collect()
}

/// The variable that a template is, when it is nothing else.
pub fn sole(template: &str) -> Option<&str> {
    let name = template.trim().strip_prefix("{{")?.strip_suffix("}}")?;
    let name = name.trim();
    (!name.is_empty() && !name.contains(['{', '}'])).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_expand() {
        let vars = BTreeMap::from([
            ("host".to_owned(), "db.例え.com".to_owned()),
            ("port".to_owned(), "5".to_owned()),
        ]);
        assert_eq!(
            expand("https://{{ host }}:{{port}}/", &vars).unwrap(),
            "https://db.例え.com:5/"
        );
        assert_eq!(expand("plain", &vars).unwrap(), "plain");
        assert!(expand("{{ nope }}", &vars).is_err());
        assert!(expand("{{ host", &vars).is_err());
        assert_eq!(names("{{ a }}-{{b}}"), ["a", "b"]);
        assert_eq!(sole(" {{ a }} "), Some("a"));
        for more in [
            "",
            "a",
            "{{ }}",
            "{{ a }}-{{b}}",
            "x{{ a }}",
            "{{ a }}{{ b }}",
        ] {
            assert_eq!(sole(more), None, "{more}");
        }
    }
}
