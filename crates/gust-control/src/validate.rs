//! Is this an app that may be deployed? Pure: what is said here follows from the app, the ceilings and the values set.
//!
//! The manifest's reader has said most of it before, with lines and columns; but anybody may speak the API.
//! Artifacts, hosts that other apps claim and what the code itself is are checked where they are known.

mod files;
mod limits;
mod routes;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use gust_types::{
    AppSpec, Digest, Error, Limits, Result, Span,
    app::{FunctionSpec, RouteTarget, Source, VariableSpec},
    later::Destination,
    template,
    trigger::{EventsSpec, RetrySpec, TriggerSource},
};

/// Functions of one app.
pub(crate) const MAX_FUNCTIONS: usize = 1000;
/// Routes of one app.
const MAX_ROUTES: usize = 10_000;
/// Variables of one app, and values set for it.
pub(crate) const MAX_VARIABLES: usize = 1000;
/// Bytes of one value.
pub(crate) const MAX_VALUE: usize = 64 << 10;
/// Entries of one of a function's lists.
const MAX_LIST: usize = 1000;
/// Triggers of one app.
const MAX_TRIGGERS: usize = 1000;
/// Calls of one trigger at once, and events of one call.
const MAX_AT_ONCE: u32 = 10_000;
const MAX_BATCH: u32 = 1000;
/// Attempts of one event, and the longest time between two and of all of them.
const MAX_ATTEMPTS: u32 = 1000;
const MAX_WAIT: Span = Span::secs(14 * 86_400);
/// Bytes of a text for people.
const MAX_TEXT: usize = 4 << 10;
/// Environment variables of one function, in bytes.
const MAX_ENVIRONMENT: usize = 64 << 10;

/// Checks everything that follows from the app alone. `values` are those that are set, defaults not among them.
pub(crate) fn app(
    spec: &AppSpec,
    values: &BTreeMap<String, String>,
    ceilings: &Limits,
) -> Result<()> {
    if spec.functions.is_empty() && spec.routes.is_empty() {
        return Err(Error::invalid("the app has no functions and no routes"));
    }
    at_most("functions", spec.functions.len(), MAX_FUNCTIONS)?;
    at_most("routes", spec.routes.len(), MAX_ROUTES)?;
    at_most("variables", spec.variables.len(), MAX_VARIABLES)?;
    text("version", &spec.version)?;
    text("description", &spec.description)?;
    variables(spec, values)?;
    routes::hosts(&spec.hosts)?;
    routes::check(spec)?;
    let known = effective(spec, values);
    triggers(spec)?;
    webhooks(&spec.events, &spec.variables, &known)?;
    for (name, function) in &spec.functions {
        check_function(function, &known, ceilings).map_err(|e| within(name, e))?;
        later(function, spec).map_err(|e| within(name, e))?;
        callbacks(function, &spec.variables, &known).map_err(|e| within(name, e))?;
    }
    once(spec)
}

/// A database remembers deliveries one by one, and events come in another composition when they come again.
fn once(spec: &AppSpec) -> Result<()> {
    for trigger in &spec.events.triggers {
        let function = spec.functions.get(&trigger.function);
        let has_database = function.is_some_and(|function| !function.sql.is_empty());
        if trigger.exactly_once && trigger.source.batch() > 1 && has_database {
            let text = format!(
                "trigger {}: exactly_once with a database takes one event at a time, not a batch of {}",
                trigger.name,
                trigger.source.batch()
            );
            return Err(Error::invalid(text).hint(format!(
                "set batch = 1, or take the database off the function: {}",
                trigger.function
            )));
        }
    }
    Ok(())
}

/// The manifest's reader has the same bounds.
fn triggers(spec: &AppSpec) -> Result<()> {
    at_most("triggers", spec.events.triggers.len(), MAX_TRIGGERS)?;
    let mut names = BTreeSet::new();
    for trigger in &spec.events.triggers {
        let refuse =
            |what: String| Err(Error::invalid(format!("trigger {}: {what}", trigger.name)));
        if !names.insert(&trigger.name) {
            return refuse("two triggers have this name".to_owned());
        }
        if !spec.functions.contains_key(&trigger.function) {
            return refuse(format!("no such function: {}", trigger.function));
        }
        if !(1..=MAX_AT_ONCE).contains(&trigger.concurrency) {
            return refuse(format!(
                "its concurrency is not 1 to {MAX_AT_ONCE}: {}",
                trigger.concurrency
            ));
        }
        let batch = trigger.source.batch();
        if !(1..=MAX_BATCH).contains(&batch) {
            return refuse(format!("its batch is not 1 to {MAX_BATCH}: {batch}"));
        }
        if !trigger.path.starts_with('/') || trigger.path.len() > MAX_TEXT {
            return refuse("its path does not begin with / or is too long".to_owned());
        }
        retry(&trigger.retry).map_err(|e| within(format_args!("trigger {}", trigger.name), e))?;
    }
    Ok(())
}

/// As far as it is no matter of the numbers alone, the events room checks it.
fn retry(retry: &RetrySpec) -> Result<()> {
    let times = [
        ("delay", retry.delay),
        ("max_delay", retry.max_delay),
        ("max_age", retry.max_age),
    ];
    let (least, most) = (Span(Duration::from_millis(1)), MAX_WAIT);
    for (name, time) in times {
        if !(least..=most).contains(&time) {
            let text = format!("retry.{name} is not {least} to {most}: {time}");
            return Err(Error::invalid(text));
        }
    }
    let (attempts, jitter) = (retry.attempts, retry.jitter);
    if !(1..=MAX_ATTEMPTS).contains(&attempts) {
        let text = format!("retry.attempts is not 1 to {MAX_ATTEMPTS}: {attempts}");
        return Err(Error::invalid(text));
    }
    if jitter > 100 {
        let text = format!("retry.jitter is not 0 to 100: {jitter}");
        return Err(Error::invalid(text));
    }
    Ok(())
}

/// The app's variables that have a value: set, or by default.
pub(crate) fn effective(
    spec: &AppSpec,
    values: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    crate::variables::effective(&spec.variables, values)
}

/// Every artifact the app needs, with the size it is said to have.
pub(crate) fn artifacts(spec: &AppSpec) -> Result<BTreeMap<Digest, u64>> {
    let mut found = BTreeMap::new();
    let mut add = |what: &dyn std::fmt::Display, source: &Source| {
        let (digest, size) = artifact(source).map_err(|e| within(what, e))?;
        match found.insert(digest, size) {
            Some(other) if other != size => Err(Error::invalid(format!(
                "two sizes are given for one artifact: {digest}"
            ))),
            _ => Ok(()),
        }
    };
    for (name, function) in &spec.functions {
        add(name, &function.source)?;
        for file in &function.files {
            add(name, &file.source)?;
        }
    }
    for route in &spec.routes {
        if let RouteTarget::Files { files, .. } = &route.target {
            for file in files {
                add(&"static files", &file.source)?;
            }
        }
    }
    Ok(found)
}

/// The artifact of a source; a node knows no paths.
pub(crate) fn artifact(source: &Source) -> Result<(Digest, u64)> {
    match source {
        Source::Artifact { digest, size } => Ok((*digest, *size)),
        Source::Path(text) | Source::Remote { url: text, .. } => Err(Error::invalid(format!(
            "a node takes uploaded artifacts, not paths or urls: {text:?}"
        ))
        .hint("deploy with the command line, which uploads them first")),
    }
}

fn check_function(
    function: &FunctionSpec,
    known: &BTreeMap<String, String>,
    ceilings: &Limits,
) -> Result<()> {
    artifact(&function.source)?;
    text("description", &function.description)?;
    environment(&function.environment)?;
    limits::check(&function.limits, ceilings)?;
    limits::check_reuse(&function.reuse)?;
    files::check(&function.files)?;
    unique(
        "key-value stores",
        function.kv.iter().map(ToString::to_string),
    )?;
    unique(
        "sql databases",
        function.sql.iter().map(ToString::to_string),
    )?;
    let outlets = [&function.queues[..], &function.topics].concat();
    unique("queues and topics", outlets.iter().map(ToString::to_string))?;
    unique("buckets", function.blobs.iter().map(ToString::to_string))?;
    at_most("outbound hosts", function.outbound.len(), MAX_LIST)?;
    at_most("variables", function.variables.len(), MAX_VARIABLES)?;
    for (name, value) in &function.variables {
        variable_name(name)?;
        template::expand(value, known).map_err(|e| within(name, e))?;
    }
    crate::variables::outbound(function, known)?;
    match &function.health {
        Some(health) => limits::check_health(health),
        None => Ok(()),
    }
}

/// Calls made later.
fn later(function: &FunctionSpec, spec: &AppSpec) -> Result<()> {
    let Some(later) = &function.later else {
        return Ok(());
    };
    later.check()?;
    for destination in later.destinations() {
        if let Destination::Function(name) = destination
            && !spec.functions.contains_key(name)
        {
            let text = format!("the app has no function that could be told: {name}");
            return Err(Error::invalid(text));
        }
    }
    Ok(())
}

/// What webhooks are signed with are the values of secret variables, each by itself, and set.
pub(crate) fn webhooks(
    events: &EventsSpec,
    declared: &BTreeMap<String, VariableSpec>,
    values: &BTreeMap<String, String>,
) -> Result<()> {
    for trigger in &events.triggers {
        if let TriggerSource::Webhook(webhook) = &trigger.source {
            let place = format!("trigger {}", trigger.name);
            signing(&place, &webhook.secrets, declared, values)?;
        }
    }
    Ok(())
}

/// And so are callbacks.
pub(crate) fn callbacks(
    function: &FunctionSpec,
    declared: &BTreeMap<String, VariableSpec>,
    values: &BTreeMap<String, String>,
) -> Result<()> {
    let later = function.later.as_ref();
    let secrets = later.map_or(&[][..], |later| &later.callback_secrets);
    signing("async.callback_secret", secrets, declared, values)
}

fn signing(
    place: &str,
    secrets: &[String],
    declared: &BTreeMap<String, VariableSpec>,
    values: &BTreeMap<String, String>,
) -> Result<()> {
    for text in secrets {
        let refuse = |what: &str| {
            // A literal is somebody's secret: it is not said again.
            let error = Error::invalid(format!("{place}: {what}"));
            Err(error.hint("write \"{{ name }}\", with `name` a variable that is secret"))
        };
        let Some(name) = template::sole(text) else {
            return refuse("its secret is not the value of a variable");
        };
        if declared.get(name).is_some_and(|variable| !variable.secret) {
            return refuse(&format!(
                "the variable of its secret is not secret: {name:?}"
            ));
        }
        let value = template::expand(text, values).map_err(|e| within(place, e))?;
        if value.is_empty() {
            return refuse(&format!("its secret is empty: {name:?}"));
        }
    }
    Ok(())
}

fn environment(variables: &BTreeMap<String, String>) -> Result<()> {
    let bytes: usize = variables.iter().map(|(k, v)| k.len() + v.len() + 2).sum();
    at_most("bytes of environment variables", bytes, MAX_ENVIRONMENT)?;
    for (name, value) in variables {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(Error::invalid(format!(
                "not an environment variable: {name:?}"
            )));
        }
    }
    Ok(())
}

fn variables(spec: &AppSpec, values: &BTreeMap<String, String>) -> Result<()> {
    for (name, variable) in &spec.variables {
        variable_name(name)?;
        text("description", &variable.description)?;
        at_most(
            "bytes of a default",
            variable.default.as_ref().map_or(0, String::len),
            MAX_VALUE,
        )?;
    }
    let unset: Vec<&str> = spec
        .variables
        .iter()
        .filter(|(name, v)| v.required && v.default.is_none() && !values.contains_key(*name))
        .map(|(name, _)| name.as_str())
        .collect();
    if unset.is_empty() {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "required variables are not set: {}",
        unset.join(", ")
    ))
    .hint("set each with: gust secret set NAME, or for gust up: --variable NAME=VALUE"))
}

/// Lower-case letters, digits and `_`, starting with a letter.
pub(crate) fn variable_name(name: &str) -> Result<()> {
    let valid = name.len() <= 128
        && name.as_bytes().first().is_some_and(u8::is_ascii_lowercase)
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if valid {
        return Ok(());
    }
    Err(
        Error::invalid(format!("not the name of a variable: {name:?}")).hint(
            "use lower-case letters, digits and '_', start with a letter, 63 characters at most",
        ),
    )
}

fn unique(what: &str, labels: impl ExactSizeIterator<Item = String>) -> Result<()> {
    at_most(what, labels.len(), MAX_LIST)?;
    let mut seen = BTreeSet::new();
    for label in labels {
        if !seen.insert(label.clone()) {
            return Err(Error::invalid(format!(
                "named twice among the {what}: {label:?}"
            )));
        }
    }
    Ok(())
}

fn text(what: &str, text: &str) -> Result<()> {
    at_most(&format!("bytes of {what}"), text.len(), MAX_TEXT)
}

fn at_most(what: &str, count: usize, most: usize) -> Result<()> {
    if count <= most {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "too many {what}, {most} at most: {count}"
    )))
}

/// The same error, saying where.
pub(crate) fn within(place: impl std::fmt::Display, mut error: Error) -> Error {
    error.message = format!("{place}: {}", error.message);
    error
}

#[cfg(test)]
mod tests;
