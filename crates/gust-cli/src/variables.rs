//! Values of an app's variables from the command line and the environment.

use std::{collections::BTreeMap, str::FromStr};

use gust_types::{AppSpec, Error, Result};

/// `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Assignment {
    name: String,
    value: String,
}

impl FromStr for Assignment {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        match text.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() => Ok(Self {
                name: name.trim().to_owned(),
                value: value.to_owned(),
            }),
            // The text may be a secret without its name: it is not repeated.
            _ => Err(Error::invalid("write it as NAME=VALUE")),
        }
    }
}

/// The values to set: those of `environment` below those that were typed. Names that the app lacks are refused.
pub(crate) fn collect(
    typed: &[Assignment],
    app: &AppSpec,
    environment: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>> {
    let mut values = environment.clone();
    for assignment in typed {
        if !app.variables.contains_key(&assignment.name) {
            let known: Vec<&str> = app.variables.keys().map(String::as_str).collect();
            let hint = match known.is_empty() {
                true => "the manifest declares no variables".to_owned(),
                false => format!("the manifest declares: {}", known.join(", ")),
            };
            let message = format!("the app has no such variable: {}", assignment.name);
            return Err(Error::invalid(message).hint(hint));
        }
        values.insert(assignment.name.clone(), assignment.value.clone());
    }
    Ok(values)
}

/// What `GUST_VARIABLE_<NAME>` and `SPIN_VARIABLE_<NAME>` say of the app's variables.
pub(crate) fn of_environment(
    app: &AppSpec,
    read: impl Fn(&str) -> Option<String>,
) -> BTreeMap<String, String> {
    let found = |name: &String| {
        let upper = name.to_ascii_uppercase();
        read(&format!("GUST_VARIABLE_{upper}")).or_else(|| read(&format!("SPIN_VARIABLE_{upper}")))
    };
    app.variables
        .keys()
        .filter_map(|name| Some((name.clone(), found(name)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> AppSpec {
        let text = "[app]\nname = \"a\"\n[variables]\ntoken = { required = true }\nsite = { default = \"x\" }\n[function.f]\nsource = \"f\"";
        gust_manifest::parse_gust(text).unwrap().0
    }

    #[test]
    fn typed_values_win_over_the_environment() {
        let environment = of_environment(&app(), |name| match name {
            "GUST_VARIABLE_TOKEN" => Some("env".to_owned()),
            "SPIN_VARIABLE_SITE" => Some("spin".to_owned()),
            _ => None,
        });
        let typed = ["token=a=b=密".parse().unwrap()];
        let values = collect(&typed, &app(), &environment).unwrap();
        assert_eq!(values["token"], "a=b=密");
        assert_eq!(values["site"], "spin");
    }

    #[test]
    fn unknown_names_and_bad_forms_are_refused() {
        let typed = ["tokn=x".parse().unwrap()];
        let error = collect(&typed, &app(), &BTreeMap::new()).unwrap_err();
        assert_eq!(
            error.hint.as_deref(),
            Some("the manifest declares: site, token")
        );
        for bad in ["", "secretvalue", "=x"] {
            let error = bad.parse::<Assignment>().unwrap_err();
            assert!(!error.to_string().contains("secretvalue"));
        }
    }
}
