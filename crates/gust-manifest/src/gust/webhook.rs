//! `webhook = { … }` of a trigger.

use gust_types::{
    FunctionName, RoutePattern, Span,
    route::Segment,
    template,
    trigger::{HmacAlgorithm, HmacEncoding, HmacSpec, TriggerSource, WebhookScheme, WebhookSpec},
};

use super::events::choice;
use crate::{
    draft::Draft,
    keys::WEBHOOK,
    reader::{Table, Text},
};

/// Keys that only requests have whose sender has no scheme of its own.
const OWN: [&str; 2] = ["id_header", "event_header"];
const HMAC: [&str; 4] = ["header", "prefix", "encoding", "algorithm"];

pub(super) fn read(
    draft: &mut Draft<'_>,
    trigger: &Table<'_>,
    function: Option<&FunctionName>,
) -> Option<TriggerSource> {
    let table = trigger.table("webhook", &WEBHOOK, "[trigger.webhook]")?;
    let path = table.required_string("path");
    let scheme = scheme(&table);
    let secrets = secrets(draft, &table, scheme.as_ref());
    let tolerance = table.span("tolerance", Span::secs(1), Span::secs(86_400));
    let (path, scheme) = (path?, scheme?);
    let timed = matches!(scheme, WebhookScheme::Stripe | WebhookScheme::Slack);
    let own = matches!(scheme, WebhookScheme::Hmac(_) | WebhookScheme::None);
    let hmac = matches!(scheme, WebhookScheme::Hmac(_));
    refuse_foreign(&table, &["tolerance"], timed, &scheme);
    refuse_foreign(&table, &OWN, own, &scheme);
    refuse_foreign(&table, &HMAC, hmac, &scheme);
    one_path(&table, &path);
    draft.hook(&path, function.cloned());
    let text = |key: &str| table.string(key).map(|text| text.value);
    Some(TriggerSource::Webhook(WebhookSpec {
        path: path.value,
        scheme,
        secrets,
        tolerance,
        id_header: text("id_header"),
        event_header: text("event_header"),
    }))
}

fn scheme(table: &Table<'_>) -> Option<WebhookScheme> {
    let text = table.required_string("scheme")?;
    Some(match text.value.as_str() {
        "github" => WebhookScheme::Github,
        "stripe" => WebhookScheme::Stripe,
        "slack" => WebhookScheme::Slack,
        "none" => WebhookScheme::None,
        "hmac" => WebhookScheme::Hmac(HmacSpec {
            header: table.required_string("header")?.value,
            prefix: table.string_or_empty("prefix"),
            encoding: choice(
                table,
                "encoding",
                &[("hex", HmacEncoding::Hex), ("base64", HmacEncoding::Base64)],
            ),
            algorithm: choice(
                table,
                "algorithm",
                &[
                    ("sha256", HmacAlgorithm::Sha256),
                    ("sha512", HmacAlgorithm::Sha512),
                ],
            ),
        }),
        other => {
            let message = format!("`scheme` is none of its words: {other:?}");
            let hint = "write \"github\", \"stripe\", \"slack\", \"hmac\" or \"none\"";
            table.cx.fault_hint(&text.at, message, hint);
            return None;
        }
    })
}

fn refuse_foreign(table: &Table<'_>, keys: &[&str], fits: bool, scheme: &WebhookScheme) {
    let given = keys.iter().filter(|key| table.value(key).is_some());
    for key in given.filter(|_| !fits) {
        let scheme = scheme.as_str();
        let message = format!("`{key}` means nothing for the scheme {scheme:?}");
        table.cx.fault(&table.key_at(key), message);
    }
}

/// Whoever calls it was told one address.
fn one_path(table: &Table<'_>, path: &Text) {
    // What is no pattern at all is refused where the path is claimed.
    let Ok(pattern) = RoutePattern::parse(&path.value) else {
        return;
    };
    let literal = |segment: &Segment| matches!(segment, Segment::Literal(_));
    if pattern.wildcard() || !pattern.segments().iter().all(literal) {
        let message = format!("a webhook's path is one path: {:?}", path.value);
        table.cx.fault(&path.at, message);
    }
}

/// Each names a secret variable and nothing else: what is written into the file is no secret any more.
fn secrets(
    draft: &mut Draft<'_>,
    table: &Table<'_>,
    scheme: Option<&WebhookScheme>,
) -> Vec<String> {
    let given = table.string_or_strings("secret");
    let unsigned = scheme == Some(&WebhookScheme::None);
    match (table.value("secret"), unsigned) {
        (Some(_), true) => {
            let message = "`secret` means nothing for the scheme \"none\"";
            table.cx.fault(&table.key_at("secret"), message);
        }
        (None, false) if scheme.is_some() => table.missing("secret"),
        (Some(_), false) if given.is_empty() || given.len() > 8 => {
            let message = "`secret` is 1 to 8 secrets";
            table.cx.fault(&table.key_at("secret"), message);
        }
        _ => {}
    }
    named_secrets(draft, table, &given, "a webhook's secret");
    given.into_iter().map(|text| text.value).collect()
}

/// Refuses secrets that are written down, and those of variables that are not secret.
pub(super) fn named_secrets(draft: &mut Draft<'_>, table: &Table<'_>, given: &[Text], what: &str) {
    for text in given {
        let Some(name) = template::sole(&text.value) else {
            let message = format!("{what} is the value of a variable, and not written down");
            let hint = "declare `name = { required = true, secret = true }` in [variables], write \"{{ name }}\" here, and set it with: gust secret set";
            table.cx.fault_hint(&text.at, message, hint);
            continue;
        };
        draft.template(text);
        let declared = draft.variables.get(name);
        if declared.is_some_and(|variable| !variable.secret) {
            let message = format!("the variable of {what} is not secret: `{name}`");
            let hint = format!("add `secret = true` to [variables] {name}");
            table.cx.fault_hint(&text.at, message, hint);
        }
    }
}
